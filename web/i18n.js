// The page's language: the browser's, unless the reader chose one. It does not know the texts.

import { TEXTS } from "./texts.js";

const KEY = "cauce.language";
const LANGUAGES = ["en", "es"];
const asked = new URLSearchParams(location.search).get("lang");

let language = [asked, stored(), ...(navigator.languages ?? [])]
  .map((one) => one?.slice(0, 2).toLowerCase())
  .find((one) => LANGUAGES.includes(one)) ?? "en";

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    // A frame on another site may have no storage.
    return null;
  }
}

/** The text of a key, with `{name}` replaced. */
export function t(key, args = {}) {
  const text = TEXTS[key]?.[LANGUAGES.indexOf(language)] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => args[name] ?? "");
}

/** Whether there is a text of that key. */
export const has = (key) => Object.hasOwn(TEXTS, key);

export const locale = () => language;

/** Puts every keyed text below `root` into the language. */
export function translate(root = document) {
  document.documentElement.lang = language;
  const args = (one) => (one.dataset.tArgs ? JSON.parse(one.dataset.tArgs) : undefined);
  for (const one of root.querySelectorAll("[data-t]")) one.textContent = t(one.dataset.t, args(one));
  for (const [name, attribute] of [["label", "aria-label"], ["hint", "placeholder"], ["title", "title"]]) {
    for (const one of root.querySelectorAll(`[data-t-${name}]`)) {
      one.setAttribute(attribute, t(one.getAttribute(`data-t-${name}`), args(one)));
    }
  }
}

/** Translates the page and lets a button in its header switch. */
export function start() {
  translate();
  const button = document.getElementById("language");
  button?.addEventListener("click", () => {
    language = language === "es" ? "en" : "es";
    try {
      localStorage.setItem(KEY, language);
    } catch {
      // It holds for this page then.
    }
    translate();
  });
}

/** A moment as the language writes it. */
export function moment(time) {
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(new Date(time));
}

export const number = (value, digits = 0) =>
  new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);
