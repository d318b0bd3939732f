// Which language the command line speaks. The sentences are speak.ts's: what starts the program loads none of them.

export const LANGUAGES = ["en", "zh"] as const;
export type Language = (typeof LANGUAGES)[number];

let spoken: Language = "en";

/** Sets the language of this process: the command line does, once. */
export function speak(language: Language): void {
  spoken = language;
}

export const spokenLanguage = (): Language => spoken;

/** The language that the environment asks for, as gettext finds it: Chinese for zh_CN, zh_TW and so on, else English. */
export function languageOf(env: Readonly<Record<string, string | undefined>>): Language {
  const name = env["LC_ALL"] || env["LC_MESSAGES"] || env["LANG"] || "";
  return /^zh(?:[_.@-]|$)/i.test(name) ? "zh" : "en";
}
