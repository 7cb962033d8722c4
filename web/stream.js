// What is known of one stream: the REST object, kept fresh by `status` frames, or by asking again
// where there is no socket. It does not know how it is shown.

import { call, streamPath } from "./api.js";

const POLL_MS = 4000;
/** With a socket that tells every change, the object itself is read now and then for the rest. */
const REFRESH_MS = 60_000;

/** One word for what the viewer sees. */
export function stateOf(stream) {
  if (!stream) return "loading";
  if (stream.missing) return "missing";
  if (stream.status === "cancel") return "cancelled";
  if (stream.status === "finished") return "ended";
  if (stream.status === "pending") return stream.is_programed ? "scheduled" : "offline";
  if (stream.is_paused) return "paused";
  if (stream.reason === "reconnecting") return "reconnecting";
  return stream.video ? "live" : "starting";
}

export class Stream {
  #listeners = new Set();
  #timer;
  #socket;
  #closed = false;

  value = null;
  /** False while the server does not answer. */
  reachable = true;

  constructor(uid, socket) {
    this.uid = uid;
    this.#socket = socket;
    socket?.on("status", (data) => this.merge(data));
    socket?.on("state", ({ name }) => {
      if (name !== "connecting") this.refresh();
    });
  }

  onChange(listener) {
    this.#listeners.add(listener);
    if (this.value) listener(this.value);
  }

  /** Nothing is asked any more. */
  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** Takes what is newer. */
  merge(part) {
    const before = this.value?.status;
    this.value = { ...this.value, ...part };
    for (const listener of this.#listeners) listener(this.value);
    if (before && before !== this.value.status) this.refresh();
  }

  /** Reads the object now, and goes on doing so. */
  async refresh() {
    clearTimeout(this.#timer);
    try {
      const read = await call("GET", streamPath(this.uid));
      this.reachable = true;
      // Only frames know why a picture stands still.
      const reason = this.#socket?.open ? this.value?.reason : null;
      this.merge({ ...read, reason, missing: false });
    } catch (error) {
      if (error.status === 404) this.merge({ missing: true });
      else {
        this.reachable = false;
        if (this.value) this.merge({});
      }
    }
    clearTimeout(this.#timer);
    if (this.#closed || this.value?.missing || ["finished", "cancel"].includes(this.value?.status)) return;
    const quiet = this.#socket?.open && this.reachable;
    this.#timer = setTimeout(() => this.refresh(), quiet ? REFRESH_MS : POLL_MS * (0.75 + Math.random() / 2));
  }
}
