// The callers' sound as a page of its own, for an encoder's browser source: what it plays goes on air.
// It only listens. It does not know the queue.

import { start as startAccount } from "./account.js";
import { $, element, say } from "./dom.js";
import { start as startLanguage } from "./i18n.js";
import { Mesh, watchLevel } from "./mesh.js";
import { Me } from "./room.js";
import { Socket } from "./socket.js";

/** A host's end that was not given is asked for again. */
const RETRY_MS = 3000;

const uid = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const socket = new Socket(uid);
const me = new Me(socket);
const mesh = new Mesh(socket, draw);
let speakers = [];

function draw() {
  $("speakers").replaceChildren(...speakers.map((one) => {
    const peer = mesh.peers.find(({ id }) => id === one.call);
    const item = element("li", {}, element("span", { class: "user", text: one.user }));
    if (peer) {
      peer.meter ??= element("meter", { min: 0, max: 1, label: "levelOf", args: { user: one.user } });
      if (peer.audio.srcObject && !peer.stopMeter) peer.stopMeter = watchLevel(peer.audio.srcObject, peer.meter);
      item.append(peer.meter);
    }
    return item;
  }));
}

/** The host's end comes to this page, so that it hears everyone who is on stage. */
function take() {
  const missing = speakers.find(({ call }) => !mesh.peers.some(({ id }) => id === call));
  if (missing && me.value.role === "owner") socket.send("voice_accept", { call: missing.call }).catch(() => {});
}

startLanguage();
startAccount();
socket.on("voice_started", (started) => mesh.start(started));
socket.on("voice_ended", ({ call }) => mesh.end(call));
socket.on("voice_state", (state) => {
  speakers = state.speakers ?? [];
  draw();
  take();
});
socket.on("state", ({ name }) => {
  if (name !== "open") say($("status"), "connecting");
});
me.onChange(({ role, authenticated }) => {
  if (!socket.open) return;
  say($("status"), authenticated && role === "owner" ? "voicesReady" : "voicesLogin");
  take();
});
setInterval(() => socket.open && take(), RETRY_MS);
socket.start();
