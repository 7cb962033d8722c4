// The watch page: puts player, facts and room of one stream together. It does not know how any of
// them works.

import { start as startAccount } from "./account.js";
import { $, clock, say, write } from "./dom.js";
import { start as startLanguage } from "./i18n.js";
import { startPeople } from "./people.js";
import { startReminder } from "./reminder.js";
import { startRoom } from "./room.js";
import { Socket } from "./socket.js";
import { Stage } from "./stage.js";
import { Stream, stateOf } from "./stream.js";
import { startSubscribe } from "./subscribe.js";

const uid = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const socket = new Socket(uid);
const stream = new Stream(uid, socket);
// Asked before anything is built: the picture waits for the answer.
const known = stream.refresh();

function facts(value) {
  const state = stateOf(value);
  const status = $("status");
  if (status.dataset.state !== state) status.dataset.state = state;
  say(status, `state.${state}`);
  if (value.title) write($("title"), value.title);
  document.title = value.title ? `${value.title} · cauce` : "cauce";
  write($("description"), value.description ?? "");
  $("channel").hidden = !value.channel;
  write($("channel"), value.channel ?? "");
  $("channel").href = `/?channel=${encodeURIComponent(value.channel ?? "")}`;
  $("playlist").hidden = !value.video;
  if (value.video) $("playlist").href = value.video.index;
}

function since() {
  const { status, started_at: started } = stream.value ?? {};
  if (status === "live" && started) say($("since"), "since", { time: clock((Date.now() - Date.parse(started)) / 1000) });
  else write($("since"), "");
}

startLanguage();
startAccount();
stream.onChange(facts);
stream.onChange(since);
setInterval(since, 1000);
new Stage(stream, $("player"));
startPeople(socket, stream);
startReminder(stream, $("reminder"));
startSubscribe(stream, $("subscribe"));
startRoom({ socket, stream, place: $("room") });
await known;
// A stream that does not exist has no socket either.
if (!stream.value?.missing) socket.start();
