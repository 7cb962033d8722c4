// Making and finding elements. Text only ever becomes text: nothing here reads HTML. It does not
// know any page.

import { t } from "./i18n.js";

export const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

/** Shapes of 24 by 24, drawn in the text's colour. */
const ICONS = {
  play: "M8 5v14l11-7z",
  pause: "M6 5h4v14H6zM14 5h4v14h-4z",
  sound: "M4 9v6h4l5 5V4L8 9zM16 8.5a4 4 0 0 1 0 7zM16 4.5a8 8 0 0 1 0 15v-2a6 6 0 0 0 0-11z",
  silent: "M4 9v6h4l5 5V4L8 9zM15.5 9.5l1.4-1.4L19 10.200l2.100-2.100 1.400 1.400L20.400 11.600l2.100 2.100-1.400 1.400L19 13l-2.100 2.100-1.400-1.400 2.100-2.100z",
  full: "M4 4h6v2H6v4H4zM14 4h6v6h-2V6h-4zM4 14h2v4h4v2H4zM18 14h2v6h-6v-2h4z",
  window: "M3 5h18v14H3zM5 7v10h14V7zM12 11h6v5h-6z",
  captions: "M3 5h18v14H3zM5 7v10h14V7zM7 10h4v1.500H8.500v1H11V14H7zM13 10h4v1.500h-2.500v1H17V14h-4z",
  more: "M10.500 5h3v3h-3zM10.500 10.500h3v3h-3zM10.500 16h3v3h-3z",
  hand: "M8 11V5a1.200 1.200 0 0 1 2.400 0v5h.6V3.700a1.200 1.200 0 0 1 2.400 0V10h.6V5a1.200 1.200 0 0 1 2.400 0v8l1.300-2a1.300 1.300 0 0 1 2.200 1.300L17 18.500A5 5 0 0 1 12.800 21H12a5 5 0 0 1-5-5v-5a.5.500 0 0 1 1 0z",
  up: "M12 6l7 8H5z",
  people: "M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2 20c0-4 3-7 7-7s7 3 7 7zM16 11a3 3 0 0 0 0-6v6zM17.500 20H22c0-3.500-2-6-5.500-6.500 1 1.700 1 4 1 6.500z",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * An element. `t` is a text's key, `text` a text as it is; `label` and `hint` are keys for
 * aria-label and placeholder; `on` are listeners; everything else is an attribute.
 */
export function element(name, { t: key, args, text, label, hint, on = {}, ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(attribute, "");
    else if (value !== false && value != null) made.setAttribute(attribute, value);
  }
  for (const [event, listener] of Object.entries(on)) made.addEventListener(event, listener);
  if (key) say(made, key, args);
  if (text != null) made.textContent = text;
  if (label) sayAttribute(made, "aria-label", label, args);
  if (hint) sayAttribute(made, "placeholder", hint, args);
  made.append(...children.filter((child) => child != null));
  return made;
}

/** Gives an element a text that follows the language. */
export function say(target, key, args) {
  const text = t(key, args);
  target.dataset.t = key;
  if (args) target.dataset.tArgs = JSON.stringify(args);
  else delete target.dataset.tArgs;
  // An announced region must not repeat itself.
  if (target.textContent !== text) target.textContent = text;
}

/** The same for an attribute. */
export function sayAttribute(target, attribute, key, args) {
  const name = { "aria-label": "tLabel", placeholder: "tHint", title: "tTitle" }[attribute];
  target.dataset[name] = key;
  if (args) target.dataset.tArgs = JSON.stringify(args);
  target.setAttribute(attribute, t(key, args));
}

/** A text without a key; takes one away if there was one. */
export function write(target, text) {
  delete target.dataset.t;
  if (target.textContent !== text) target.textContent = text;
}

/** Seconds as 1:02:03 or 2:03. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** Asks before something that cannot be undone; true when the reader agrees. */
export function confirmed(key, action, args) {
  return new Promise((done) => {
    const agree = element("button", { type: "button", class: "danger", t: action });
    const leave = element("button", { type: "button", class: "plain", t: "cancel" });
    const title = element("h2", { t: key, args, id: "confirm-title" });
    const dialog = element("dialog", { class: "small", "aria-labelledby": "confirm-title" }, title,
      element("div", { class: "row end" }, leave, agree));
    let answer = false;
    agree.addEventListener("click", () => {
      answer = true;
      dialog.close();
    });
    leave.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
    leave.focus();
  });
}
