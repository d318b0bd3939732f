// The languages that the command line and the documentation speak.
export { chineseKeys, keyInChinese } from "./recipe-keys/index.js";
