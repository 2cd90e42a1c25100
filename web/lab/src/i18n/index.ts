// Which language the page speaks, and everything that has to be said again when it changes.
// Shape: one current dictionary and a list of updates. The second language is loaded when first asked for.
// Choice: `?lang=`, then what was chosen before, then the browser's languages, then English.

import { parameter, setParameter, store, stored } from "../place.ts";
import { en, type Dictionary } from "./en.ts";

export type { Dictionary };
export type Language = "en" | "zh-CN";

let language: Language = "en";
let dictionary: Dictionary = en;
const updates: (() => void)[] = [];

/** The words of the current language. */
export function words(): Dictionary {
  return dictionary;
}

export function currentLanguage(): Language {
  return language;
}

export function otherLanguage(): Language {
  return language === "en" ? "zh-CN" : "en";
}

/** Runs `update` now and after every change of the language. For what lives as long as the page. */
export function bind(update: (words: Dictionary) => void): void {
  updates.push(() => update(dictionary));
  update(dictionary);
}

/** The language to begin with. */
export function preferredLanguage(): Language {
  for (const wish of [parameter("lang"), stored("lang"), ...navigator.languages]) {
    if (wish === undefined) continue;
    if (/^zh\b/i.test(wish)) return "zh-CN";
    if (/^en\b/i.test(wish)) return "en";
  }
  return "en";
}

export async function setLanguage(next: Language): Promise<void> {
  dictionary = next === "en" ? en : (await import("./zh-CN.ts")).zhCN;
  language = next;
  document.documentElement.lang = next;
  document.title = dictionary.title;
  for (const update of updates) update();
}

/** As `setLanguage`, and remembered in the address and in the browser. */
export async function chooseLanguage(next: Language): Promise<void> {
  store("lang", next);
  setParameter("lang", [next]);
  await setLanguage(next);
}
