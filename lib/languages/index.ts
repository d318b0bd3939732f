// The languages that the command line and the documentation speak.
export { LANGUAGES, type Language, languageOf, speak, spokenLanguage } from "./language.js";
export { chineseKeys, keyInChinese } from "./recipe-keys/index.js";
export { columnsOf, helpOf, inLanguage, padded, translated } from "./speak.js";
