// The player as a stream's state wants it: plays while there is something to play, and says in words
// what there is otherwise. It does not know the page around it.

import { Controls } from "./controls.js";
import { clock, element, say, write } from "./dom.js";
import { moment } from "./i18n.js";
import { Player } from "./player.js";
import { stateOf } from "./stream.js";

export class Stage {
  #stream;
  #frame;
  #video;
  #notice = element("div", { class: "notice" });
  #title = element("p", { class: "notice-title" });
  #more = element("p", { class: "notice-more" });
  #count = element("p", { class: "countdown", role: "timer" });
  #state = "";

  /** Fills `frame` for `stream`; `muted` begins silent, `autoplay` false waits for a click. */
  constructor(stream, frame, { muted = false, autoplay = true } = {}) {
    this.#stream = stream;
    this.#frame = frame;
    this.#video = element("video", { playsinline: true, id: "video", tabindex: "0", label: "video" });
    this.#video.muted = muted;
    this.#notice.append(this.#title, this.#count, this.#more);
    frame.append(this.#video, this.#notice);
    this.player = new Player(this.#video);
    this.controls = new Controls(this.player, frame);
    this.wanted = autoplay;
    if (!autoplay) this.#offerStart(frame);
    stream.onChange((value) => this.#show(value));
    this.player.addEventListener("change", () => this.#show(stream.value));
    setInterval(() => this.#tick(), 500);
    this.#show(null);
  }

  #offerStart(frame) {
    const begin = element("button", { type: "button", class: "begin", t: "play", on: { click: () => {
      this.wanted = true;
      begin.remove();
      this.#show(this.#stream.value);
    } } });
    frame.append(begin);
  }

  #show(value) {
    const state = this.player.supported ? stateOf(value) : "unsupported";
    const playable = value?.video && ["live", "paused", "reconnecting", "ended"].includes(state);
    if (playable && this.wanted) {
      // The address itself may name another host than the page's: a CDN.
      this.player.load(value.video.index);
    } else if (["ended", "cancelled", "missing", "offline", "scheduled"].includes(state) && !this.#watching()) {
      this.player.load(null);
    }
    // Only where nothing plays by itself: a picture that is about to move needs none.
    if (playable && !this.wanted && value.thumbnail) this.#video.poster = value.thumbnail;
    this.#state = state;
    this.#explain(value, state);
  }

  /** What was begun may be watched to its end, also after the stream's. */
  #watching() {
    return this.player.hasPicture && !this.#video.ended;
  }

  #explain(value, state) {
    const { player } = this;
    const away = this.#stream.reachable === false;
    const moving = player.hasPicture && this.wanted;
    const small = moving && ["live", "paused", "reconnecting", "ended"].includes(state) && !this.#video.ended;
    const key = away && !moving ? "state.away" : state === "ended" && value?.video && !this.#video.ended ? "state.recording" : `state.${state}`;
    say(this.#title, key);
    this.#notice.dataset.state = state;
    this.#frame.classList.toggle("empty", !moving);
    this.#notice.classList.toggle("small", small);
    this.#notice.hidden = (small && !["paused", "reconnecting"].includes(state) && !away) || (!this.wanted && Boolean(value?.video));
    if (small && away) say(this.#title, "state.away");
    if (state === "scheduled" && value.program_date_time) {
      say(this.#more, "scheduledFor", { time: moment(value.program_date_time) });
    } else if (["offline", "starting", "cancelled", "missing"].includes(state)) {
      say(this.#more, `more.${state}`);
    } else {
      write(this.#more, "");
    }
    this.#tick();
  }

  #tick() {
    const value = this.#stream.value;
    const until = this.#state === "scheduled" ? Date.parse(value?.program_date_time ?? "") : NaN;
    const left_s = (until - Date.now()) / 1000;
    if (!(left_s > 0)) write(this.#count, "");
    else write(this.#count, left_s > 86_400 ? `${Math.floor(left_s / 86_400)} d ${clock(left_s % 86_400)}` : clock(left_s));
  }
}
