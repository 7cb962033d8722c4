// The encoder's health as the server sees it: a light, graphs over time, each issue with its remedy.
// It does not judge: the server says what is wrong.

import { element, say } from "./dom.js";
import { number } from "./i18n.js";

const SVG = "http://www.w3.org/2000/svg";
/** Samples kept for the graphs: 5 minutes at one each 2 s. */
const SAMPLES = 150;
/** A graph is as wide as this many at first, and then as what it has. */
const SAMPLES_WIDE = 30;
/** Each graph: field, digits. */
const GRAPHS = [["bitrate_kbps", 0], ["fps", 1], ["keyframe_s", 1], ["gaps", 0]];

/** A line over time, in a box of 100 by 30. */
function path(values) {
  const top = Math.max(...values, 1) * 1.1;
  const span = Math.max(values.length, SAMPLES_WIDE) - 1;
  return values.map((value, n) => `${n ? "L" : "M"}${(n / span * 100).toFixed(2)} ${(30 - value / top * 28).toFixed(2)}`).join("");
}

class Graph {
  #values = [];

  constructor(name, digits) {
    this.name = name;
    this.digits = digits;
    this.value = element("strong");
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 100 30");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    this.line = document.createElementNS(SVG, "path");
    svg.append(this.line);
    this.node = element("div", { class: "graph" }, element("p", {}, element("span", { class: "soft", t: `health.${name}` }), " ", this.value), svg);
  }

  add(value) {
    if (!Number.isFinite(value)) return;
    this.#values = [...this.#values, value].slice(-SAMPLES);
    this.value.textContent = number(value, this.digits);
    this.line.setAttribute("d", path(this.#values));
  }
}

/** The panel; it shows with the first `health` frame, which only the owner gets. */
export function healthPanel(socket, stream) {
  const light = element("p", { class: "light", role: "status" });
  const tracks = element("p", { class: "soft" });
  const issues = element("ul", { class: "issues" });
  const graphs = GRAPHS.map(([name, digits]) => new Graph(name, digits));
  const panel = element("section", { class: "card health", hidden: true }, element("h2", { t: "health" }), light, tracks, issues,
    element("div", { class: "graphs" }, ...graphs.map(({ node }) => node)));
  let shown = "";
  socket.on("health", (health) => {
    panel.hidden = false;
    const all = health.issues ?? [];
    const worst = ["error", "warning"].find((severity) => all.some((one) => one.severity === severity)) ?? "good";
    light.dataset.light = worst;
    say(light, `light.${worst}`);
    const size = health.width ? `${health.width}×${health.height}` : "";
    tracks.textContent = [size, health.video_codec, health.audio_codec].filter(Boolean).join(" · ");
    if (!health.audio_codec) tracks.append(" · ", element("span", { t: "noAudio" }));
    const text = JSON.stringify(all);
    if (text !== shown) {
      shown = text;
      issues.replaceChildren(...all.map(({ severity, message, remedy }) => element("li", { "data-light": severity },
        element("strong", { text: message }), " ", element("span", { text: remedy ?? "" }))));
    }
    for (const graph of graphs) graph.add(health[graph.name]);
  });
  stream.onChange(({ status }) => {
    if (status !== "live") panel.hidden = true;
  });
  return panel;
}
