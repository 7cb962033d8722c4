// The button of a scheduled stream that asks to be told when it begins. It does not know how that is
// told, or whether somebody asked before: asking twice changes nothing.

import { askLogin } from "./account.js";
import { call, onSession, session, streamPath } from "./api.js";
import { element, say, write } from "./dom.js";
import { explain } from "./refusals.js";
import { stateOf } from "./stream.js";

/** Fills `place` while `stream` is scheduled. */
export function startReminder(stream, place) {
  let asked = false;
  const button = element("button", { type: "button", class: "plain", t: "remind", "aria-pressed": "false", on: { click: () => toggle() } });
  const note = element("span", { role: "status" });
  const problem = element("span", { class: "problem", role: "alert" });
  place.append(button, note, problem);
  const show = (now) => {
    asked = now;
    button.setAttribute("aria-pressed", String(asked));
    say(button, asked ? "remindNot" : "remind");
    if (asked) say(note, "reminded");
    else write(note, "");
  };
  async function toggle() {
    write(problem, "");
    if (!session()) {
      askLogin();
      return;
    }
    button.disabled = true;
    try {
      await call(asked ? "DELETE" : "POST", streamPath(stream.uid, "reminders/"));
      show(!asked);
    } catch (error) {
      explain(problem, error);
    } finally {
      button.disabled = false;
    }
  }
  // Another account has not asked.
  let who = session()?.username;
  onSession((value) => {
    if (value?.username === who) return;
    who = value?.username;
    show(false);
  });
  stream.onChange((value) => { place.hidden = stateOf(value) !== "scheduled"; });
}
