// Plays one HLS address in a video element, and comes back by itself when the server or the network
// was away. hls.js where it works, else the browser's own HLS. It does not know buttons or states.

import Hls from "/web/vendor/hls.js/hls.min.mjs";

const RETRY_MS = 1000;
const RETRY_MS_MAX = 5000;
/** Further behind than this beyond the usual distance, a viewer is no longer at the live edge. */
const FAR_S = 8;
/** A live picture that stands still for so long while it should play is loaded anew. */
const STALL_MS = 12_000;

export class Player extends EventTarget {
  #hls = null;
  #source = null;
  #retry = null;
  #tries = 0;
  #recovered = false;
  #moved = { time: -1, at: 0 };
  #endsLive = true;
  #telling = false;

  constructor(video) {
    super();
    this.video = video;
    this.native = !Hls.isSupported() && video.canPlayType("application/vnd.apple.mpegurl") !== "";
    this.supported = Hls.isSupported() || this.native;
    for (const event of ["timeupdate", "play", "pause", "waiting", "playing", "volumechange", "ended", "progress"]) {
      video.addEventListener(event, () => this.#changed());
    }
    video.addEventListener("error", () => this.native && this.#again());
    video.textTracks.addEventListener?.("addtrack", () => this.#changed());
    setInterval(() => this.#watch(), 2000);
  }

  /** Plays `source`; again with the same one it changes nothing. Null is nothing to play. */
  load(source) {
    if (this.#source === source) return;
    this.#source = source;
    this.#detach();
    if (source !== null) {
      this.#attach();
    } else {
      this.video.removeAttribute("src");
      this.video.load();
    }
  }

  /** Ends playing and forgets the address. The last picture goes too. */
  stop() {
    this.load(null);
  }

  get playing() {
    return this.#source !== null && !this.video.paused && this.video.readyState >= 2;
  }

  get hasPicture() {
    return this.video.readyState >= 2;
  }

  /** False for a recording or a window that has ended. */
  get isLive() {
    // Without hls.js only the length tells: what goes on has none.
    const goesOn = this.native ? !Number.isFinite(this.video.duration) : this.#endsLive;
    return this.#source !== null && goesOn;
  }

  get ended() {
    return !this.isLive && this.video.ended;
  }

  /** What can be seeked: [from, to], in the video's seconds. */
  get range() {
    const { seekable, duration } = this.video;
    if (seekable.length) {
      const last = seekable.length - 1;
      const to = this.isLive ? this.edge ?? seekable.end(last) : seekable.end(last);
      return [seekable.start(0), Math.max(to, seekable.start(0))];
    }
    return [0, Number.isFinite(duration) ? duration : 0];
  }

  /** Where live is, in the video's seconds. */
  get edge() {
    if (this.#hls) return this.#hls.liveSyncPosition ?? null;
    const { seekable } = this.video;
    return seekable.length ? seekable.end(seekable.length - 1) : null;
  }

  /** Behind the newest picture that the server has, seconds; null when unknown. */
  get latency_s() {
    if (!this.isLive || !this.hasPicture) return null;
    if (this.#hls) return this.#hls.latency > 0 ? this.#hls.latency : null;
    return this.edge === null ? null : Math.max(0, this.edge - this.video.currentTime);
  }

  get farBehind() {
    const edge = this.edge;
    return this.isLive && edge !== null && edge - this.video.currentTime > FAR_S;
  }

  goLive() {
    const edge = this.edge;
    if (edge !== null) this.video.currentTime = Math.max(0, edge - (this.native ? 3 : 0));
    this.video.playbackRate = 1;
    return this.play();
  }

  /** Names of the qualities; empty where there is nothing to choose. */
  get levels() {
    const levels = this.#hls?.levels ?? [];
    if (levels.length < 2) return [];
    return levels.map((level) => (level.height ? `${level.height}p` : `${Math.round(level.bitrate / 1000)} kb/s`));
  }

  /** The chosen quality; -1 is automatic. */
  get level() {
    return this.#hls && !this.#hls.autoLevelEnabled ? this.#hls.loadLevel : -1;
  }

  set level(index) {
    if (this.#hls) this.#hls.nextLevel = index;
    this.#changed();
  }

  /** Tracks of captions that the stream carries. */
  get captions() {
    return [...this.video.textTracks].filter((one) => ["captions", "subtitles"].includes(one.kind));
  }

  /** Plays; with sound if the browser lets it, else silent. */
  async play() {
    try {
      await this.video.play();
    } catch (error) {
      if (error.name !== "NotAllowedError" || this.video.muted) return;
      this.video.muted = true;
      await this.video.play().catch(() => {});
    }
  }

  /** Tells once, however much changed at once. */
  #changed() {
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
      this.dispatchEvent(new Event("change"));
    });
  }

  #attach() {
    this.#endsLive = true;
    this.#moved = { time: -1, at: performance.now() };
    if (this.native) {
      this.video.src = this.#source;
      this.play();
      return;
    }
    const hls = new Hls({
      workerPath: "/web/vendor/hls.js/hls.worker.js",
      liveDurationInfinity: true,
      backBufferLength: 90,
      liveSyncDurationCount: 2.5,
      liveMaxLatencyDurationCount: Infinity,
    });
    this.#hls = hls;
    hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => {
      this.#endsLive = details.live;
      this.#changed();
    });
    hls.on(Hls.Events.FRAG_BUFFERED, () => {
      this.#recovered = false;
      this.#tries = 0;
    });
    hls.on(Hls.Events.ERROR, (_, { fatal, type }) => {
      if (!fatal) return;
      if (type === Hls.ErrorTypes.MEDIA_ERROR && !this.#recovered) {
        this.#recovered = true;
        hls.recoverMediaError();
      } else {
        this.#again();
      }
    });
    hls.once(Hls.Events.MANIFEST_PARSED, () => {
      this.play();
      this.#changed();
    });
    hls.loadSource(this.#source);
    hls.attachMedia(this.video);
  }

  #detach() {
    clearTimeout(this.#retry);
    this.#retry = null;
    this.#hls?.destroy();
    this.#hls = null;
    this.#changed();
  }

  /** Begins anew, later each time, with a spread so that viewers do not come all at once. */
  #again() {
    if (this.#source === null || this.#retry !== null) return;
    this.#detach();
    const span_ms = Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** Math.min(this.#tries, 5));
    this.#tries += 1;
    this.#retry = setTimeout(() => {
      this.#retry = null;
      if (this.#source !== null) this.#attach();
    }, span_ms * (0.5 + Math.random() / 2));
  }

  /** A player that neither fails nor moves is begun anew, or taken over a hole. */
  #watch() {
    const { video } = this;
    const wanted = this.#hls && this.isLive && !video.paused && !video.seeking;
    if (!wanted || video.currentTime !== this.#moved.time) {
      this.#moved = { time: video.currentTime, at: performance.now() };
      return;
    }
    if (performance.now() - this.#moved.at > STALL_MS) this.#again();
  }
}
