// Ended streams that were recorded: play, download, delete. It does not know how they were made.

import { call, streamPath } from "./api.js";
import { confirmed, element } from "./dom.js";
import { moment } from "./i18n.js";
import { explain } from "./refusals.js";

const RECORDING = "recording.ts";

/** Where the one file of a recording is: beside its media playlist. */
function file(stream) {
  return new URL(RECORDING, stream.video.source).href;
}

/** Fills `place` with the recordings among `streams`; hides it when there are none. */
export function recordings(place, streams) {
  const kept = streams.filter((one) => one.video && one.record_status === "done");
  place.hidden = kept.length === 0;
  const problem = element("p", { class: "problem", role: "alert" });
  const list = element("ul", { class: "own" });
  for (const stream of kept) {
    const name = stream.title ? { text: stream.title } : { t: "untitled" };
    const item = element("li", { class: "row" },
      element("span", { class: "name", ...name }),
      element("time", { class: "soft", datetime: stream.started_at, text: moment(stream.started_at ?? stream.created_at) }),
      element("span", { class: "gap" }),
      element("a", { href: `/watch/${stream.uid}`, t: "play" }),
      element("a", { href: file(stream), download: `${stream.uid}.ts`, t: "download" }),
      element("button", { type: "button", class: "plain small", t: "act.delete", on: { click: async () => {
        if (!(await confirmed("sure.recording", "act.delete"))) return;
        try {
          await call("DELETE", streamPath(stream.uid, "recording/"));
          item.remove();
          place.hidden = list.children.length === 0;
        } catch (error) {
          explain(problem, error);
        }
      } } }));
    list.append(item);
  }
  place.replaceChildren(element("h2", { t: "recordings" }), problem, list);
}
