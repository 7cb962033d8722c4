// The player alone, for other sites' frames: ?autoplay=1&muted=1&lang=es. It does not know the room.

import { start as startLanguage } from "./i18n.js";
import { Socket } from "./socket.js";
import { Stage } from "./stage.js";
import { Stream } from "./stream.js";

const asked = new URLSearchParams(location.search);
const on = (name) => ["", "1", "true"].includes(asked.get(name) ?? "no");
const uid = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const socket = new Socket(uid);
const stream = new Stream(uid, socket);
// Asked before anything is built: the picture waits for the answer.
const known = stream.refresh();

startLanguage();
stream.onChange((value) => { document.title = value.title ? `${value.title} · cauce` : "cauce"; });
new Stage(stream, document.getElementById("player"), { muted: on("muted"), autoplay: on("autoplay") });
await known;
if (!stream.value?.missing) socket.start();
