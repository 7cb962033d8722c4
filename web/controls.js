// The buttons over a video: play, sound, seek, back to live, captions, quality, picture in picture,
// full screen, and their keys. It does not know what plays.

import { clock, element, icon, say, sayAttribute, write } from "./dom.js";
import { number } from "./i18n.js";

/** Without a touch for so long the buttons go, while it plays. */
const IDLE_MS = 3000;
/** A shorter window is not worth a seek bar, seconds. */
const SEEK_WINDOW_S = 45;
const STEP_S = 10;

const tool = (label, name, action) => {
  const button = element("button", { type: "button", class: "tool", label, on: { click: action } }, icon(name));
  button.dataset.icon = name;
  return button;
};

function swap(button, name, label) {
  if (button.dataset.icon === name) return;
  button.dataset.icon = name;
  button.replaceChildren(icon(name));
  sayAttribute(button, "aria-label", label);
}

export class Controls {
  #player;
  #frame;
  #idle;
  #dragging = false;
  #parts = {};

  /** `frame` is the element around the video; it goes full screen. */
  constructor(player, frame) {
    this.#player = player;
    this.#frame = frame;
    this.#build();
    player.addEventListener("change", () => this.#refresh());
    this.#keys();
    this.#wake();
    this.#refresh();
  }

  #build() {
    const { video } = this.#player;
    const parts = this.#parts;
    parts.play = tool("play", "play", () => this.#toggle());
    parts.mute = tool("mute", "sound", () => { video.muted = !video.muted; });
    parts.volume = element("input", {
      type: "range", class: "volume", min: 0, max: 1, step: 0.05, label: "volume",
      on: { input: () => {
        video.volume = Number(parts.volume.value);
        video.muted = video.volume === 0;
      } },
    });
    parts.seek = element("input", {
      type: "range", class: "seek", min: 0, max: 1, step: 0.1, label: "seek",
      on: {
        input: () => { this.#dragging = true; },
        change: () => {
          this.#dragging = false;
          video.currentTime = Number(parts.seek.value);
        },
      },
    });
    parts.time = element("span", { class: "time" });
    parts.live = element("button", { type: "button", class: "golive", t: "goLive", on: { click: () => this.#player.goLive() } });
    parts.captions = tool("captions", "captions", () => this.#captions());
    parts.quality = element("select", { class: "quality", label: "quality", on: { change: () => {
      this.#player.level = Number(parts.quality.value);
    } } });
    parts.pip = tool("pip", "window", () => this.#pictureInPicture());
    parts.full = tool("fullScreen", "full", () => this.#fullScreen());
    parts.pip.hidden = !document.pictureInPictureEnabled;
    parts.unmute = element("button", { type: "button", class: "unmute", t: "unmute", on: { click: () => {
      video.muted = false;
      if (video.volume === 0) video.volume = 1;
    } } });
    const bar = element("div", { class: "controls", role: "group", label: "player" }, parts.seek,
      element("div", { class: "buttons" }, parts.play, parts.mute, parts.volume, parts.live, parts.time,
        element("span", { class: "gap" }), parts.captions, parts.quality, parts.pip, parts.full));
    this.#frame.append(parts.unmute, bar);
    video.addEventListener("click", () => this.#toggle());
    video.addEventListener("dblclick", () => this.#fullScreen());
  }

  #toggle() {
    const { video } = this.#player;
    if (!this.#player.hasPicture) return;
    if (video.paused) this.#player.play();
    else video.pause();
  }

  #captions() {
    const tracks = this.#player.captions;
    const on = tracks.some((one) => one.mode === "showing");
    tracks.forEach((one, n) => { one.mode = !on && n === 0 ? "showing" : "hidden"; });
    this.#refresh();
  }

  async #pictureInPicture() {
    try {
      if (document.pictureInPictureElement) await document.exitPictureInPicture();
      else await this.#player.video.requestPictureInPicture();
    } catch {
      // There is no picture yet, or the browser's policy forbids it.
    }
  }

  async #fullScreen() {
    const { video } = this.#player;
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else if (this.#frame.requestFullscreen) await this.#frame.requestFullscreen();
      // On iPhones only the video itself can.
      else video.webkitEnterFullscreen?.();
    } catch {
      // The browser's policy forbids it.
    }
  }

  #keys() {
    const { video } = this.#player;
    const actions = {
      " ": () => this.#toggle(),
      k: () => this.#toggle(),
      m: () => { video.muted = !video.muted; },
      f: () => this.#fullScreen(),
      l: () => this.#player.goLive(),
      ArrowLeft: () => { video.currentTime = Math.max(this.#player.range[0], video.currentTime - STEP_S); },
      ArrowRight: () => { video.currentTime = Math.min(this.#player.range[1], video.currentTime + STEP_S); },
    };
    this.#frame.addEventListener("keydown", (event) => {
      const action = actions[event.key];
      const own = ["INPUT", "SELECT"].includes(event.target.tagName) || (event.key === " " && event.target.tagName === "BUTTON");
      if (!action || own || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      action();
    });
    for (const event of ["pointermove", "pointerdown", "focusin", "keydown"]) {
      this.#frame.addEventListener(event, () => this.#wake());
    }
  }

  #wake() {
    this.#frame.classList.remove("idle");
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#frame.classList.toggle("idle", !this.#player.video.paused), IDLE_MS);
  }

  #refresh() {
    const player = this.#player;
    const parts = this.#parts;
    const { video } = player;
    const silent = video.muted || video.volume === 0;
    swap(parts.play, video.paused ? "play" : "pause", video.paused ? "play" : "pause");
    swap(parts.mute, silent ? "silent" : "sound", silent ? "soundOn" : "mute");
    parts.volume.value = silent ? 0 : video.volume;
    parts.unmute.hidden = !silent || !player.hasPicture || video.paused;
    this.#where();
    const tracks = player.captions;
    parts.captions.hidden = tracks.length === 0;
    parts.captions.setAttribute("aria-pressed", String(tracks.some((one) => one.mode === "showing")));
    this.#qualities();
    this.#frame.classList.toggle("paused", video.paused);
  }

  /** Time, seek bar, distance to live. */
  #where() {
    const player = this.#player;
    const parts = this.#parts;
    const { currentTime } = player.video;
    const [from, to] = player.range;
    parts.seek.hidden = !player.hasPicture || (player.isLive && to - from < SEEK_WINDOW_S);
    if (!this.#dragging) {
      parts.seek.min = from;
      parts.seek.max = to;
      parts.seek.value = currentTime;
      const behind = player.isLive ? `-${clock(to - currentTime)}` : `${clock(currentTime - from)} / ${clock(to - from)}`;
      parts.seek.setAttribute("aria-valuetext", behind);
    }
    parts.live.hidden = !player.isLive || !player.hasPicture;
    parts.live.classList.toggle("behind", player.farBehind);
    say(parts.live, player.farBehind ? "goLive" : "atLive");
    parts.live.disabled = !player.farBehind && !player.video.paused;
    const latency_s = player.latency_s;
    if (player.isLive) {
      if (latency_s === null) write(parts.time, "");
      else say(parts.time, "latency", { s: number(latency_s) });
    } else if (player.hasPicture) {
      write(parts.time, `${clock(currentTime - from)} / ${clock(to - from)}`);
    }
  }

  #qualities() {
    const { quality } = this.#parts;
    const { levels, level } = this.#player;
    quality.hidden = levels.length === 0;
    if (quality.options.length !== levels.length + 1) {
      quality.replaceChildren(element("option", { value: -1, t: "automatic" }),
        ...levels.map((text, value) => element("option", { value, text })));
    }
    if (document.activeElement !== quality) quality.value = String(level);
  }
}
