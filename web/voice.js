// Speaking: raise the hand, test the microphone, be on air, hang up; for the host the queue, the
// speakers and the own microphone. It does not know how sound travels.

import { askLogin } from "./account.js";
import { element, icon, say, write } from "./dom.js";
import { canSpeak, Mesh, openMicrophone, watchLevel } from "./mesh.js";

class Voice {
  #call = null;
  /** "off", "requested", "invited", "speaking" */
  #stage = "off";
  #muted = false;
  #queue = [];
  #state = { queue_len: 0, speakers: [] };
  #stopLevel = null;
  /** The connection is new and has not told who speaks. */
  #returned = false;

  constructor({ socket, stream, me, place, news, studio = false }) {
    Object.assign(this, { socket, stream, me, news, studio });
    this.mesh = new Mesh(socket, () => this.#draw());
    this.problem = element("p", { class: "problem", role: "alert" });
    this.status = element("p", { role: "status" });
    this.level = element("meter", { class: "meter", min: 0, max: 1, label: "level", hidden: true });
    this.buttons = element("div", { class: "row" });
    this.speakers = element("ul", { class: "speakers" });
    this.queue = element("ul", { class: "speakers" });
    this.queuePart = element("section", { class: "part", hidden: true }, element("h3", { t: "queue" }), this.queue);
    place.append(element("section", { class: "part stack" }, this.status, this.level, this.buttons, this.problem),
      element("section", { class: "part" }, element("h3", { t: "onAir" }), this.speakers), this.queuePart);
    this.#listen();
  }

  get #hosts() {
    return this.me.value.role === "owner" && this.me.value.authenticated;
  }

  #listen() {
    const { socket, me, stream } = this;
    socket.on("voice_state", (state) => {
      this.#state = state;
      // After a restart the server knows no call any more.
      const known = (state.speakers ?? []).some(({ call }) => call === this.#call);
      if (this.#returned && this.#stage === "speaking" && !known) this.#off();
      this.#returned = false;
      this.#draw();
    });
    socket.on("voice_queue", ({ items = [] }) => {
      if (items.length > this.#queue.length) this.news();
      this.#queue = items;
      this.#draw();
    });
    socket.on("voice_invited", ({ call }) => {
      this.#call = call;
      this.#stage = "invited";
      this.news();
      this.#draw();
    });
    socket.on("voice_started", (started) => this.#started(started));
    socket.on("voice_ended", ({ call, reason }) => this.#ended(call, reason));
    socket.on("voice_mute", ({ muted, by }) => {
      if (muted) this.#mute(true, false);
      else say(this.problem, "askedToUnmute", { user: by ?? "" });
    });
    socket.on("state", ({ name }) => {
      if (name === "closed") this.#off();
      if (name === "open") this.#returned = true;
    });
    me.onChange(({ authenticated }) => {
      if (authenticated && this.#stage === "requested") this.#request();
      this.#draw();
    });
    stream.onChange(() => this.#draw());
  }

  async #started(started) {
    // The host is heard too where its page may use a microphone.
    if (this.#hosts && this.studio && canSpeak() && !this.mesh.microphone) await this.#microphone();
    if (!this.#hosts && started.polite) {
      this.#call = started.call;
      this.#stage = "speaking";
    }
    this.mesh.start(started);
  }

  #ended(call, reason) {
    if (call === this.#call) {
      this.#off();
      say(this.problem, `ended.${["denied", "removed", "lost"].includes(reason) ? reason : "over"}`);
    } else {
      this.mesh.end(call);
      if (this.#hosts && this.mesh.peers.length === 0) this.#silence();
    }
  }

  #off() {
    this.#call = null;
    this.#stage = "off";
    this.#muted = false;
    this.mesh.end();
    this.#silence();
  }

  #silence() {
    this.#stopLevel?.();
    this.#stopLevel = null;
    this.mesh.closeMicrophone();
    this.level.hidden = true;
    this.#draw();
  }

  /** Asks for the microphone and shows its level; true when there is one. */
  async #microphone() {
    if (this.mesh.microphone) return true;
    try {
      this.mesh.microphone = await openMicrophone();
    } catch {
      say(this.problem, "noMicrophone");
      return false;
    }
    write(this.problem, "");
    this.level.hidden = false;
    this.#stopLevel = watchLevel(this.mesh.microphone, this.level);
    this.#draw();
    return true;
  }

  async #try(type, data = {}) {
    try {
      const ack = await this.socket.send(type, data);
      write(this.problem, "");
      return ack;
    } catch (error) {
      if (error.code === "auth_required") askLogin();
      say(this.problem, `error.${error.code}`, { n: Math.ceil(error.retryAfter_s ?? 0) });
      return null;
    }
  }

  async #raise() {
    if (await this.#microphone()) await this.#request();
  }

  /** Raises the hand, or raises it again for a server that forgot it. */
  async #request() {
    const ack = await this.#try("voice_request");
    if (!ack) {
      this.#off();
      return;
    }
    this.#call = ack.id;
    this.#stage = "requested";
    this.#draw();
  }

  async #accept() {
    if (await this.#microphone()) await this.#try("voice_accept", { call: this.#call });
  }

  async #leave(type) {
    if (await this.#try(type, { call: this.#call })) this.#off();
  }

  #mute(muted, tell = true) {
    this.#muted = muted;
    this.mesh.mute(muted);
    if (tell && this.#call) this.#try("voice_mute", { call: this.#call, muted });
    this.#draw();
  }

  /** What can be done now: [text, action, kind]. */
  #choices() {
    if (this.#hosts) {
      if (!this.mesh.microphone) return [];
      return [[this.#muted ? "unmuteMe" : "muteMe", () => this.#mute(!this.#muted, false), "plain"]];
    }
    return {
      off: [["raiseHand", () => this.#raise(), ""]],
      requested: [["lowerHand", () => this.#leave("voice_cancel"), "plain"]],
      invited: [["goOnAir", () => this.#accept(), ""], ["decline", () => this.#leave("voice_deny"), "plain"]],
      speaking: [[this.#muted ? "unmuteMe" : "muteMe", () => this.#mute(!this.#muted), "plain"], ["hangUp", () => this.#leave("voice_hangup"), "danger"]],
    }[this.#stage];
  }

  #draw() {
    const live = this.stream.value?.status === "live";
    const inside = this.me.value.authenticated;
    const button = ([key, act, kind]) => element("button", { type: "button", class: kind, t: key, "data-act": key, on: { click: act } });
    const act = document.activeElement?.dataset?.act;
    let choices = [];
    if (!live) say(this.status, "voiceWhenLive");
    else if (!canSpeak()) say(this.status, "voiceInsecure");
    else if (!inside) {
      say(this.status, "voiceLogin");
      choices = [["account.login", () => askLogin(), ""]];
    } else {
      say(this.status, this.#hosts ? "voice.host" : `voice.${this.#stage}`);
      choices = this.#choices();
    }
    this.buttons.replaceChildren(...choices.map(button));
    if (act) this.buttons.querySelector(`[data-act="${CSS.escape(act)}"]`)?.focus();
    this.#drawSpeakers();
    this.#drawQueue();
  }

  #drawSpeakers() {
    const all = this.#state.speakers ?? [];
    this.speakers.replaceChildren(...(all.length ? all.map((one) => {
      const item = element("li", {}, element("span", { class: "user", text: one.user }),
        one.muted ? element("span", { class: "badge", t: "muted" }) : null);
      const peer = this.mesh.peers.find(({ id }) => id === one.call);
      if (peer) {
        peer.meter ??= element("meter", { min: 0, max: 1, label: "levelOf", args: { user: one.user } });
        if (peer.audio.srcObject && !peer.stopMeter) peer.stopMeter = watchLevel(peer.audio.srcObject, peer.meter);
        item.append(peer.meter);
      }
      if (this.me.moderates) {
        item.append(
          element("button", { type: "button", class: "plain small", t: one.muted ? "askUnmute" : "muteThem", on: { click: () => this.#try("voice_mute", { call: one.call, muted: !one.muted }) } }),
          element("button", { type: "button", class: "plain small", t: "hangUp", on: { click: () => this.#try("voice_hangup", { call: one.call }) } }));
      }
      return item;
    }) : [element("li", { class: "soft", t: "nobodyOnAir" })]));
  }

  #drawQueue() {
    this.queuePart.hidden = !this.me.moderates;
    if (!this.me.moderates) return;
    this.queue.replaceChildren(...(this.#queue.length ? this.#queue.map((one) => element("li", {}, icon("hand"), element("span", { class: "user", text: one.user }),
      element("button", { type: "button", class: "small", t: "invite", on: { click: () => this.#try("voice_invite", { user: one.user }) } }),
      element("button", { type: "button", class: "plain small", t: "refuse", on: { click: () => this.#try("voice_deny", { call: one.call }) } }),
    )) : [element("li", { class: "soft", t: "nobodyWaits" })]));
  }
}

export const startVoice = (parts) => new Voice(parts);
