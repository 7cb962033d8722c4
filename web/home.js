// The first page: what is live and what is scheduled. It does not know how a stream is played.

import { start as startAccount } from "./account.js";
import { call } from "./api.js";
import { $, element, icon, say, write } from "./dom.js";
import { moment, start as startLanguage } from "./i18n.js";

const REFRESH_MS = 15_000;
const LIMIT = 50;
const channel = new URLSearchParams(location.search).get("channel");

function card(stream) {
  const picture = stream.thumbnail && stream.status === "live"
    ? element("img", { class: "thumb", src: `${stream.thumbnail}?t=${Math.floor(Date.now() / REFRESH_MS)}`, alt: "", loading: "lazy" })
    : element("span", { class: "thumb" }, icon("play"));
  const name = stream.title ? element("p", { class: "name", text: stream.title }) : element("p", { class: "name", t: "untitled" });
  const facts = element("p", { class: "soft" });
  if (stream.channel) facts.append(stream.channel, " · ");
  if (stream.status === "live") facts.append(element("span", { t: "people", args: { n: stream.viewers } }));
  else if (stream.program_date_time) facts.append(element("time", { datetime: stream.program_date_time, text: moment(stream.program_date_time) }));
  return element("li", {}, element("a", { href: `/watch/${encodeURIComponent(stream.uid)}` },
    picture, element("div", { class: "words" }, name, facts)));
}

async function list(status) {
  const query = new URLSearchParams({ status, limit: LIMIT });
  if (channel) query.set("channel", channel);
  return (await call("GET", `/streams/?${query}`)).results;
}

async function refresh() {
  try {
    const [live, pending] = await Promise.all([list("live"), list("pending")]);
    const scheduled = pending.filter((one) => one.is_programed)
      .sort((a, b) => Date.parse(a.program_date_time) - Date.parse(b.program_date_time));
    write($("problem"), "");
    show("live", live);
    show("scheduled", scheduled);
  } catch {
    say($("problem"), "noServer");
  }
}

function show(id, streams) {
  const seen = JSON.stringify(streams);
  if ($(id).seen === seen) return;
  $(id).seen = seen;
  const focused = document.activeElement?.getAttribute("href");
  $(id).replaceChildren(...streams.map(card));
  $(`no-${id}`).hidden = streams.length > 0;
  if (focused) [...$(id).querySelectorAll("a")].find((one) => one.getAttribute("href") === focused)?.focus();
}

startLanguage();
startAccount();
$("watch").addEventListener("submit", (event) => {
  event.preventDefault();
  location.assign(`/watch/${encodeURIComponent($("uid").value.trim())}`);
});
await refresh();
setInterval(() => document.hidden || refresh(), REFRESH_MS);
