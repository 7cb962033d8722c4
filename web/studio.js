// The studio: who is logged in sees the own streams and makes new ones; `#uid` opens one's desk. It
// does not know what happens at a desk.

import { askLogin, start as startAccount } from "./account.js";
import { call, onSession } from "./api.js";
import { $, element } from "./dom.js";
import { moment, start as startLanguage } from "./i18n.js";
import { moderators } from "./moderators.js";
import { recordings } from "./recordings.js";
import { explain } from "./refusals.js";
import { createForm } from "./studio-create.js";
import { openDesk } from "./studio-desk.js";
import { stateOf } from "./stream.js";
import { subscribers } from "./subscribe.js";

/** Between two looks for a recording that is not there yet. */
const RECORDINGS_MS = 5000;

const place = $("studio");
let shown = null;
let closeDesk = null;

function welcome() {
  place.replaceChildren(element("section", { class: "card narrow" },
    element("h1", { t: "studio" }), element("p", { t: "studioLogin" }),
    element("div", { class: "row" },
      element("button", { type: "button", t: "account.login", on: { click: () => askLogin("login") } }),
      element("button", { type: "button", class: "plain", t: "account.create", on: { click: () => askLogin("create") } }))));
}

function row(stream) {
  const state = stateOf(stream);
  const time = stream.status === "pending" && stream.program_date_time ? stream.program_date_time : stream.started_at ?? stream.created_at;
  const title = stream.title ? { text: stream.title } : { t: "untitled" };
  return element("li", {}, element("a", { href: `#${stream.uid}` },
    element("span", { class: "name", ...title }),
    element("span", { class: "status", "data-state": state, t: `state.${state}` }),
    element("time", { class: "soft", datetime: time, text: moment(time) })));
}

/** The own streams, and the form for a new one. */
async function overview(session) {
  const list = element("ul", { class: "own" });
  const none = element("p", { class: "soft", t: "noStreams", hidden: true });
  const problem = element("p", { class: "problem", role: "alert" });
  const kept = element("section", { class: "card", hidden: true });
  const team = element("section", { class: "card", hidden: true });
  const audience = element("section", { class: "card", hidden: true });
  place.replaceChildren(element("h1", { t: "studio" }), element("div", { class: "halves" },
    element("section", { class: "card" }, element("h2", { t: "newStream" }), createForm((stream) => { location.hash = stream.uid; })),
    element("section", { class: "card" }, element("h2", { t: "yourStreams" }), problem, none, list)), element("div", { class: "halves" }, kept, team, audience));
  try {
    const channel = await ownChannel(session.username);
    const mine = channel ? await streamsOf(channel) : [];
    const open = mine.filter(({ status }) => ["live", "pending"].includes(status));
    const past = mine.filter(({ status }) => !["live", "pending"].includes(status));
    list.replaceChildren(...[...open, ...past.slice(0, 10)].map(row));
    none.hidden = mine.length > 0;
    showRecordings(kept, channel, past);
    if (!channel) return;
    team.hidden = false;
    audience.hidden = false;
    await Promise.all([moderators(team, channel), subscribers(audience, channel)]);
  } catch (error) {
    explain(problem, error);
  }
}

/** A recording is there some time after its stream's end: looks again until it is. */
function showRecordings(place, channel, past) {
  recordings(place, past);
  if (!past.some(({ status, record_status: recorded }) => status === "finished" && recorded === "start")) return;
  setTimeout(async () => {
    if (!place.isConnected) return;
    const mine = await streamsOf(channel).catch(() => past);
    if (place.isConnected) showRecordings(place, channel, mine.filter(({ status }) => !["live", "pending"].includes(status)));
  }, RECORDINGS_MS);
}

/** The own channel's name, which may be another than the account's. */
async function ownChannel(username) {
  const { data } = await call("GET", "/channels/");
  return data.find(({ author }) => author === username)?.username ?? null;
}

async function streamsOf(channel) {
  const query = new URLSearchParams({ channel, limit: 100 });
  const { results } = await call("GET", `/streams/?${query}`);
  return results.filter((stream) => stream.channel === channel);
}

function show(session) {
  const uid = location.hash.slice(1);
  const wanted = `${session?.username ?? ""} ${uid}`;
  if (wanted === shown) return;
  shown = wanted;
  closeDesk?.();
  closeDesk = null;
  if (!session) welcome();
  else if (/^[A-Za-z0-9_][A-Za-z0-9_-]{21}$/.test(uid)) closeDesk = openDesk(uid, place);
  else overview(session);
}

startLanguage();
startAccount();
let current = null;
onSession((session) => {
  current = session;
  show(session);
});
addEventListener("hashchange", () => show(current));
