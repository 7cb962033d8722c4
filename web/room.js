// The panel beside the picture: its tabs, and what it says when the connection is lost. It does not
// know what happens inside a tab.

import { startChat } from "./chat.js";
import { element, say } from "./dom.js";
import { startQuestions } from "./questions.js";
import { startVoice } from "./voice.js";

/** Each tab shows once the server has sent its first frame: what a server cannot do is not offered. */
const TABS = [
  ["chat", startChat, "chat_history"],
  ["questions", startQuestions, "questions"],
  ["voice", startVoice, "voice_state"],
];

/** Who this socket is, as the server says: {authenticated, username, role}. */
export class Me {
  #listeners = new Set();
  value = { authenticated: false, username: null, role: "viewer" };

  constructor(socket) {
    socket.on("auth", (value) => {
      this.value = { role: "viewer", username: null, ...value };
      for (const listener of this.#listeners) listener(this.value);
    });
  }

  onChange(listener) {
    this.#listeners.add(listener);
    listener(this.value);
  }

  get moderates() {
    return this.value.authenticated && ["owner", "moderator"].includes(this.value.role);
  }
}

/** Fills `place`; it shows once the server has answered for the first time. */
export function startRoom({ socket, stream, place, studio = false }) {
  const me = new Me(socket);
  const tabs = element("div", { class: "tabs", role: "tablist", label: "room" });
  const panels = element("div", { class: "panels" });
  const lost = element("p", { class: "lost", role: "status", hidden: true });
  const select = (chosen) => {
    for (const tab of tabs.children) {
      const on = tab === chosen;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !on;
      if (on) delete tab.dataset.news;
    }
  };
  for (const [name, begin, first] of TABS) {
    const tab = element("button", {
      type: "button", role: "tab", hidden: true, id: `tab-${name}`, "aria-controls": `panel-${name}`, t: `tab.${name}`,
      on: { click: () => select(tab) },
    });
    const panel = element("div", { role: "tabpanel", id: `panel-${name}`, class: `panel ${name}`, "aria-labelledby": `tab-${name}`, hidden: true });
    const news = () => {
      if (tab.getAttribute("aria-selected") !== "true") tab.dataset.news = "";
    };
    socket.on(first, () => {
      tab.hidden = false;
    });
    tabs.append(tab);
    panels.append(panel);
    begin({ socket, stream, me, place: panel, news, studio });
  }
  tabs.addEventListener("keydown", (event) => {
    const all = [...tabs.children].filter((tab) => !tab.hidden);
    const at = all.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = all[(to + all.length) % all.length];
    select(next);
    next.focus();
  });
  place.append(tabs, lost, panels);
  select(tabs.firstElementChild);
  follow(socket, place, lost);
}

/** Says what the connection does; the panel itself appears with the first one. */
function follow(socket, place, lost) {
  const tick = () => {
    const { name, at, code } = socket.state;
    if (name === "open") place.hidden = false;
    place.dataset.connection = name;
    lost.hidden = name === "open" || (name === "connecting" && lost.hidden);
    if (name === "waiting") say(lost, "lostRetry", { n: Math.max(0, Math.ceil((at - Date.now()) / 1000)) });
    if (name === "connecting") say(lost, "connecting");
    if (name === "closed") say(lost, `closed.${[4501, 4503, 4504, 4510].includes(code) ? code : "other"}`);
  };
  socket.on("state", tick);
  setInterval(tick, 500);
}
