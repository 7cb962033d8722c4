// A bar of buttons that lead to a page's parts, for screens where these are below each other. It does
// not know what is in a part.

import { element } from "./dom.js";

/** Gives the bar; each of `parts` is [text's key, element]. A part that is hidden has no button. */
export function jumps(parts) {
  const bar = element("nav", { class: "jumps", label: "onThisPage" });
  const pairs = parts.map(([key, part]) => [part, element("button", { type: "button", class: "plain", t: key, on: { click: () => go(part) } })]);
  const follow = () => {
    for (const [part, button] of pairs) {
      button.hidden = part.hidden;
      button.dataset.light = part.dataset.light ?? "";
    }
  };
  const watch = new MutationObserver(follow);
  for (const [part] of pairs) watch.observe(part, { attributes: true, attributeFilter: ["hidden", "data-light"] });
  bar.append(...pairs.map(([, button]) => button));
  follow();
  return bar;
}

function go(part) {
  if (part.tagName === "DETAILS") part.open = true;
  part.scrollIntoView({ block: "start" });
  part.focus({ preventScroll: true });
}
