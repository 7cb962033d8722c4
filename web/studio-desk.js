// One stream's desk: what the encoder needs, the buttons of its life, preview, uptime and people. It
// does not know chat, questions, voice or health: they have parts of their own.

import { call, streamPath } from "./api.js";
import { clock, confirmed, element, say, write } from "./dom.js";
import { healthPanel } from "./health.js";
import { number, t } from "./i18n.js";
import { explain } from "./refusals.js";
import { jumps } from "./jumps.js";
import { startRoom } from "./room.js";
import { Socket } from "./socket.js";
import { Stage } from "./stage.js";
import { Stream, stateOf } from "./stream.js";
import { editForm } from "./studio-edit.js";

/** What each state offers: [action, needs confirmation]. */
const ACTIONS = [["pause", false], ["resume", false], ["stop", true], ["cancel", true]];

function offered(value) {
  if (value.status === "live") return [value.is_paused ? "resume" : "pause", "stop"];
  return value.status === "pending" ? ["cancel"] : [];
}

/** A line of text with a button that copies it; a secret is hidden until asked for. */
function copyLine(id, label, secret) {
  const input = element("input", { id, readonly: true, type: secret ? "password" : "text", autocomplete: "off", spellcheck: "false" });
  const copy = element("button", { type: "button", class: "plain", t: "copy", on: { click: async () => {
    try {
      await navigator.clipboard.writeText(input.value);
    } catch {
      // Without a secure context there is no clipboard of this kind.
      const type = input.type;
      input.type = "text";
      input.select();
      document.execCommand("copy");
      input.type = type;
    }
    say(copy, "copied");
    setTimeout(() => say(copy, "copy"), 2000);
  } } });
  copy.setAttribute("aria-describedby", `${id}-label`);
  const buttons = [copy];
  if (secret) {
    const reveal = element("button", { type: "button", class: "plain", t: "reveal", "aria-pressed": "false", on: { click: () => {
      const shown = input.type === "text";
      input.type = shown ? "password" : "text";
      reveal.setAttribute("aria-pressed", String(!shown));
      say(reveal, shown ? "reveal" : "hide");
    } } });
    buttons.unshift(reveal);
  }
  const line = element("div", { class: "field" }, element("label", { for: id, id: `${id}-label`, t: label }), element("div", { class: "row" }, input, ...buttons));
  return { line, input, buttons: line.lastElementChild };
}

class Desk {
  #timers = [];

  constructor(uid, place) {
    this.uid = uid;
    this.socket = new Socket(uid);
    this.stream = new Stream(uid, this.socket);
    this.#build(place);
    this.stream.onChange((value) => this.#show(value));
    this.socket.on("users", (users) => { this.users = users; });
    this.#timers.push(setInterval(() => this.#tick(), 1000));
    this.#begin();
  }

  async #begin() {
    await this.stream.refresh();
    if (!this.stream.value?.missing) this.socket.start();
  }

  close() {
    this.#timers.forEach(clearInterval);
    this.stage.player.stop();
    this.stream.close();
    this.socket.close();
  }

  #build(place) {
    this.title = element("h1", { t: "untitled" });
    this.status = element("span", { class: "status", role: "status" });
    this.uptime = element("span", { class: "soft" });
    this.people = element("span", { class: "soft" });
    this.problem = element("p", { class: "problem", role: "alert" });
    this.actions = Object.fromEntries(ACTIONS.map(([name, sure]) => [name, element("button", {
      type: "button", class: sure ? "danger" : "", t: `do.${name}`, hidden: true, on: { click: () => this.#act(name, sure) },
    })]));
    const frame = element("div", { class: "player" });
    this.stage = new Stage(this.stream, frame, { muted: true });
    const room = element("section", { class: "room card", id: "room", label: "room", tabindex: "-1", hidden: true });
    this.watch = element("a", { t: "openWatch", href: `/watch/${this.uid}`, target: "_blank", rel: "noopener" });
    const head = element("section", { class: "deskmain", tabindex: "-1" },
      element("p", {}, element("a", { href: "#", t: "allStreams" })), this.title,
      element("p", { class: "facts" }, this.status, this.uptime, this.people, this.watch),
      element("div", { class: "row actions" }, ...Object.values(this.actions)), this.problem,
      frame, this.#connection());
    const health = healthPanel(this.socket, this.stream);
    place.replaceChildren(
      jumps([["jump.stream", head], ["jump.room", room], ["jump.health", health], ["jump.connect", this.connect]]),
      this.desk = element("div", { class: "desk" }, head, room,
        element("section", { class: "deskmain" }, health, editForm(this.stream), this.#embed())));
    startRoom({ socket: this.socket, stream: this.stream, place: room, studio: true });
  }

  /** What to type into an encoder. */
  #connection() {
    this.server = copyLine("rtmp-server", "server", false);
    this.key = copyLine("stream-key", "streamKey", true);
    this.key.buttons.append(element("button", { type: "button", class: "plain", t: "rotate", on: { click: () => this.#rotate() } }));
    this.command = copyLine("ffmpeg-line", "ffmpegLine", true);
    const settings = ["obs.service", "obs.encoder", "obs.keyframe", "obs.rate", "obs.audio"].map((key) => element("li", { t: key }));
    this.connect = element("details", { class: "card connect", tabindex: "-1" }, element("summary", {}, element("h2", { t: "connectEncoder" })),
      this.server.line, this.key.line, element("h3", { text: "OBS Studio" }), element("ul", {}, ...settings),
      element("h3", { text: "FFmpeg" }), this.command.line);
    return this.connect;
  }

  #embed() {
    this.frame = copyLine("embed-code", "embedCode", false);
    this.frame.input.value = `<iframe src="${location.origin}/embed/${this.uid}?autoplay=1&muted=1" width="640" height="360" title="${t("liveStream")}" allow="autoplay; fullscreen; picture-in-picture"></iframe>`;
    return element("section", { class: "card stack" }, element("h2", { t: "share" }), this.frame.line);
  }

  #show(value) {
    const state = stateOf(value);
    this.desk.dataset.status = value.status ?? "";
    this.status.dataset.state = state;
    say(this.status, `state.${state}`);
    if (value.title) write(this.title, value.title);
    else say(this.title, "untitled");
    const shown = value.missing ? [] : offered(value);
    for (const [name, button] of Object.entries(this.actions)) button.hidden = !shown.includes(name);
    // Only its owner is told the key.
    this.connect.hidden = !value.key || !["pending", "live"].includes(value.status);
    // Once it is live there is something better to look at.
    if (value.status !== this.lastStatus) this.connect.open = value.status !== "live";
    this.lastStatus = value.status;
    this.server.input.value = value.rtmp_url ?? "";
    this.key.input.value = value.key ?? "";
    this.command.input.value = `ffmpeg -re -i input.mp4 -c:v libx264 -preset veryfast -b:v 3000k -maxrate 3000k -bufsize 6000k -g 60 -pix_fmt yuv420p -c:a aac -b:a 128k -f flv ${(value.rtmp_url ?? "").replace(/\/$/, "")}/${value.key ?? ""}`;
    if (!value.missing && !("key" in value)) say(this.problem, "notYours");
    this.#tick();
  }

  #tick() {
    const { status, started_at: started, viewers } = this.stream.value ?? {};
    if (status === "live" && started) say(this.uptime, "since", { time: clock((Date.now() - Date.parse(started)) / 1000) });
    else write(this.uptime, "");
    const { count, peak } = this.users ?? {};
    if (Number.isInteger(count)) say(this.people, "peopleNow", { n: number(count), peak: number(peak ?? count) });
    else if (status === "live") say(this.people, "people", { n: number(viewers ?? 0) });
    else write(this.people, "");
  }

  async #act(name, sure) {
    if (sure && !(await confirmed(`sure.${name}`, `do.${name}`))) return;
    await this.#try(() => call("POST", streamPath(this.uid, `${name}/`)));
  }

  async #rotate() {
    if (!(await confirmed("sure.rotate", "rotate"))) return;
    await this.#try(() => call("POST", streamPath(this.uid, "key/")));
  }

  async #try(request) {
    write(this.problem, "");
    try {
      this.stream.merge(await request());
    } catch (error) {
      explain(this.problem, error);
    }
  }
}

/** Fills `place` with the desk of a stream; what it gives back closes it. */
export function openDesk(uid, place) {
  const desk = new Desk(uid, place);
  return () => desk.close();
}
