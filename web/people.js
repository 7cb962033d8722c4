// How many people are there. It does not know who they are.

import { $, element, icon, sayAttribute } from "./dom.js";
import { number } from "./i18n.js";

/** The room's own count where it is known, else the server's estimate. */
export function startPeople(socket, stream) {
  const place = $("people");
  let counted = null;
  const show = () => {
    const live = stream.value?.status === "live";
    const count = counted ?? (live && stream.reachable ? stream.value.viewers : null);
    place.hidden = count === null || count === undefined;
    if (place.hidden || place.dataset.count === String(count)) return;
    place.dataset.count = count;
    place.replaceChildren(icon("people"), element("span", { text: number(count) }));
    place.setAttribute("role", "img");
    sayAttribute(place, "aria-label", "people", { n: number(count) });
  };
  socket?.on("users", ({ count }) => {
    if (!Number.isInteger(count)) return;
    counted = count;
    show();
  });
  socket?.on("state", ({ name }) => {
    if (name !== "open") counted = null;
  });
  stream.onChange(show);
}
