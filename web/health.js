// The encoder's health as the server sees it: a light, graphs over time, each issue with its remedy.
// It does not judge: the server says what is wrong.

import { element, say, write } from "./dom.js";
import { has, locale, number } from "./i18n.js";
import { stateOf } from "./stream.js";

const SVG = "http://www.w3.org/2000/svg";
/** Samples kept for the graphs: 5 minutes at one each 2 s. */
const SAMPLES = 150;
/** A graph is as wide as this many at first, and then as what it has. */
const SAMPLES_WIDE = 30;
/** Each graph: field, digits, what is said where there is no number. */
const GRAPHS = [["bitrate_kbps", 0, "unstated"], ["fps", 1, "unstated"], ["keyframe_s", 1, "none"], ["dropped", 0, "unstated"]];
const HEIGHT = 30;

/** A line over time, in a box of 100 by [`HEIGHT`]. */
function path(values) {
  const top = Math.max(...values, 1) * 1.1;
  const span = Math.max(values.length, SAMPLES_WIDE) - 1;
  return values.map((value, n) => `${n ? "L" : "M"}${(n / span * 100).toFixed(2)} ${(HEIGHT - 1 - value / top * (HEIGHT - 2)).toFixed(2)}`).join("");
}

class Graph {
  #values = [];

  constructor(name, digits, without) {
    Object.assign(this, { name, digits, without });
    this.value = element("strong");
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 100 ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    const part = (kind) => {
      const made = document.createElementNS(SVG, "path");
      made.classList.add(kind);
      svg.append(made);
      return made;
    };
    part("ground").setAttribute("d", `M0 ${HEIGHT}H100`);
    this.area = part("area");
    this.line = part("line");
    this.node = element("div", { class: "graph" }, element("p", {}, element("span", { class: "soft", t: `health.${name}` }), " ", this.value), svg);
  }

  add(value) {
    if (!Number.isFinite(value)) {
      say(this.value, `health.${this.without}`);
      return;
    }
    this.#values = [...this.#values, value].slice(-SAMPLES);
    write(this.value, number(value, this.digits));
    const line = path(this.#values);
    this.line.setAttribute("d", line);
    this.area.setAttribute("d", `${line}V${HEIGHT}H0Z`);
  }
}

/** An issue in the reader's language; in the server's words where it is a new one. */
function issue({ code, severity, message, remedy }, health) {
  const args = Object.fromEntries(["bitrate_kbps", "fps", "keyframe_s", "dropped", "gaps"].map((name) => [name, number(health[name] ?? 0, 1)]));
  const words = (kind, plain) => (has(`${kind}.${code}`) ? { t: `${kind}.${code}`, args } : { text: plain ?? "" });
  const item = element("li", {}, element("strong", words("issue", message)), " ", element("span", words("remedy", remedy)));
  item.dataset.light = severity;
  return item;
}

/** The panel; it shows with the first `health` frame, which only the owner gets. */
export function healthPanel(socket, stream) {
  const light = element("p", { class: "light", role: "status" });
  const tracks = element("p", { class: "soft" });
  const issues = element("ul", { class: "issues" });
  const graphs = GRAPHS.map((one) => new Graph(...one));
  const panel = element("section", { class: "card health", id: "health", tabindex: "-1", hidden: true }, element("h2", { t: "health" }), light, tracks, issues,
    element("div", { class: "graphs" }, ...graphs.map(({ node }) => node)),
    element("p", { class: "soft note", t: "health.droppedAre" }));
  let shown = "";
  const tell = (state, severity) => {
    light.dataset.light = severity;
    panel.dataset.light = severity;
    say(light, `light.${state}`);
  };
  socket.on("health", (health) => {
    // What comes then is of before the pause.
    if (stateOf(stream.value) === "paused") return;
    panel.hidden = false;
    const all = health.issues ?? [];
    const worst = ["error", "warning"].find((severity) => all.some((one) => one.severity === severity)) ?? "good";
    tell(worst, worst);
    const size = health.width ? `${health.width}×${health.height}` : "";
    tracks.textContent = [size, health.video_codec, health.audio_codec].filter(Boolean).join(" · ");
    if (!health.audio_codec) tracks.append(" · ", element("span", { t: "noAudio" }));
    const text = JSON.stringify([locale(), all]);
    if (text !== shown) {
      shown = text;
      issues.replaceChildren(...all.map((one) => issue(one, health)));
    }
    for (const graph of graphs) graph.add(health[graph.name]);
  });
  // Nothing is measured meanwhile: what was measured last is no longer true.
  stream.onChange((value) => {
    const state = stateOf(value);
    if (value.status !== "live") panel.hidden = true;
    if (!["paused", "reconnecting"].includes(state) || panel.dataset.state === state) {
      panel.dataset.state = state;
      return;
    }
    panel.dataset.state = state;
    tell(state, state === "paused" ? "paused" : "error");
    tracks.textContent = "";
    shown = "";
    issues.replaceChildren(...(state === "paused" ? [] : [element("li", { "data-light": "error", t: "light.reconnectingMore" })]));
  });
  return panel;
}
