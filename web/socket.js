// One stream's WebSocket: connects, comes back with full jitter, resumes where it was, and pairs
// each frame that is sent with its ack or error. It does not know what frames mean.

import { onSession, session } from "./api.js";

const BACKOFF_MS = 500;
const BACKOFF_MS_MAX = 30_000;
/** So long open, a connection is good and the backoff begins anew. */
const STABLE_MS = 10_000;
const PING_MS = 25_000;
const ANSWER_MS = 10_000;

/** A frame that the server did not take. */
export class Refused extends Error {
  constructor({ error_code, message, retry_after }) {
    super(message ?? error_code);
    this.code = error_code;
    this.retryAfter_s = retry_after ?? null;
  }
}

export class Socket {
  #uid;
  #socket = null;
  #listeners = new Map();
  #waiting = new Map();
  #tries = 0;
  #ref = 0;
  #timers = new Set();
  #retry = null;
  #since = null;
  #epoch = null;
  #token = null;

  /** `state` becomes {name: "connecting" | "open" | "waiting" | "closed", at?, code?}. */
  state = { name: "connecting" };

  constructor(uid) {
    this.#uid = uid;
  }

  start() {
    this.#connect();
    onSession((value) => this.#session(value));
    addEventListener("online", () => this.retryNow());
    addEventListener("pagehide", () => this.#socket?.close());
    addEventListener("pageshow", (event) => event.persisted && this.retryNow());
  }

  /** Ends it for good. */
  close() {
    clearTimeout(this.#retry);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  /** Frames of `type`; also "state" for [`Socket.state`]. */
  on(type, listener) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, []);
    this.#listeners.get(type).push(listener);
    return this;
  }

  get open() {
    return this.state.name === "open";
  }

  /** Where the next connection goes on: the highest `seq` that was seen. */
  resumeFrom(seq, epoch) {
    if (epoch && epoch !== this.#epoch) this.#since = null;
    if (epoch) this.#epoch = epoch;
    if (Number.isInteger(seq)) this.#since = Math.max(seq, this.#since ?? 0);
  }

  /** Sends a frame; gives its ack, or throws [`Refused`]. */
  send(type, data = {}) {
    if (!this.open) return Promise.reject(new Refused({ error_code: "offline" }));
    this.#ref += 1;
    const ref = `r${this.#ref}`;
    const socket = this.#socket;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(ref);
        reject(new Refused({ error_code: "no_answer" }));
      }, ANSWER_MS);
      this.#waiting.set(ref, { resolve, reject, timer, ping: type === "ping" });
      socket.send(JSON.stringify({ type, ref, data }));
    });
  }

  retryNow() {
    if (this.state.name !== "waiting") return;
    clearTimeout(this.#retry);
    this.#connect();
  }

  #emit(type, data) {
    for (const listener of this.#listeners.get(type) ?? []) listener(data);
  }

  #change(state) {
    this.state = state;
    this.#emit("state", state);
  }

  #connect() {
    this.#change({ name: "connecting" });
    const address = new URL(`/ws/streams/${encodeURIComponent(this.#uid)}/`, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    if (this.#since != null && this.#epoch) {
      address.searchParams.set("since", this.#since);
      address.searchParams.set("epoch", this.#epoch);
    }
    const socket = new WebSocket(address);
    this.#socket = socket;
    socket.onopen = () => this.#opened(socket);
    socket.onmessage = ({ data }) => this.#received(data);
    socket.onclose = (event) => socket === this.#socket && this.#lost(event);
  }

  #opened(socket) {
    this.#token = null;
    const stable = setTimeout(() => { this.#tries = 0; }, STABLE_MS);
    const ping = setInterval(() => this.send("ping").catch((error) => {
      if (error.code === "no_answer") socket.close();
    }), PING_MS);
    this.#timers.add(stable).add(ping);
    this.#change({ name: "open" });
    this.#session(session());
  }

  /** Tells the server who this is; a logout needs a new connection. */
  #session(value) {
    if (!this.open || !this.#socket || value?.token === (this.#token ?? undefined)) return;
    if (!value) {
      this.#token = null;
      this.#tries = 0;
      this.#socket.close(1000);
      return;
    }
    this.#token = value.token;
    this.send("auth", { token: value.token }).catch(() => {});
  }

  #received(text) {
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    const { type, ref, data = {} } = frame;
    const waiting = ref && this.#waiting.get(ref);
    if (waiting && ["ack", "error", "pong", "auth"].includes(type)) {
      this.#waiting.delete(ref);
      clearTimeout(waiting.timer);
      if (type === "error") waiting.reject(new Refused(data));
      else waiting.resolve(data);
    }
    if (type === "pong") this.#answerPings();
    this.#emit(type, data);
  }

  /** A pong need not carry the ref of its ping. */
  #answerPings() {
    for (const [ref, waiting] of this.#waiting) {
      if (!waiting.ping) continue;
      clearTimeout(waiting.timer);
      this.#waiting.delete(ref);
      waiting.resolve({});
    }
  }

  #lost({ code, reason }) {
    this.#timers.forEach((timer) => clearTimeout(timer));
    this.#timers.clear();
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new Refused({ error_code: "offline" }));
    }
    this.#waiting.clear();
    if (code >= 4500 && code <= 4999) {
      this.#change({ name: "closed", code });
      return;
    }
    const hint_ms = code === 1012 ? (Number(reason) || 0) * 1000 : 0;
    const span_ms = Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** Math.min(this.#tries, 10));
    const wait_ms = hint_ms + Math.random() * span_ms;
    this.#tries += 1;
    this.#change({ name: "waiting", at: Date.now() + wait_ms, code });
    this.#retry = setTimeout(() => this.#connect(), wait_ms);
  }
}
