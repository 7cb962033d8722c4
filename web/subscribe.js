// Subscriptions: the watch page's button for its channel, and the list for the channel's owner. It
// does not know what subscribers may do.

import { askLogin } from "./account.js";
import { call, onSession, session } from "./api.js";
import { element, say } from "./dom.js";
import { moment, number } from "./i18n.js";
import { explain } from "./refusals.js";

const channelPath = (channel, part = "") => `/channels/${encodeURIComponent(channel)}/${part}`;

/** Fills `place` once the channel of `stream` is known. */
export function startSubscribe(stream, place) {
  let channel = null;
  let subscribed = false;
  const button = element("button", { type: "button", class: "plain small", on: { click: () => toggle() } });
  const count = element("span", { class: "soft" });
  place.append(button, count);
  async function refresh() {
    try {
      const { data } = await call("GET", channelPath(channel));
      subscribed = data.i_subscribed === true;
      // Nobody subscribes to the own channel.
      button.hidden = data.author === session()?.username;
      button.setAttribute("aria-pressed", String(subscribed));
      say(button, subscribed ? "unsubscribe" : "subscribe");
      say(count, "subscribersAre", { n: number(data.subscriptions_count) });
      place.hidden = false;
    } catch {
      place.hidden = true;
    }
  }
  async function toggle() {
    if (!session()) {
      askLogin();
      return;
    }
    try {
      await call(subscribed ? "DELETE" : "POST", channelPath(channel, "subscribers/"));
    } catch {
      // What is shown next says whether it worked.
    }
    refresh();
  }
  let who = session()?.username;
  onSession((value) => {
    if (value?.username === who) return;
    who = value?.username;
    if (channel) refresh();
  });
  stream.onChange((value) => {
    if (!value.channel || value.channel === channel) return;
    channel = value.channel;
    refresh();
  });
}

/** Fills `place` with who subscribed to a channel. */
export async function subscribers(place, channel) {
  const problem = element("p", { class: "problem", role: "alert" });
  const none = element("p", { class: "soft", t: "noSubscribers", hidden: true });
  const list = element("ul", { class: "own long" });
  place.replaceChildren(element("h2", { t: "subscribers" }), problem, none, list);
  try {
    const { data } = await call("GET", channelPath(channel, "subscribers/"));
    list.replaceChildren(...data.map(({ username, created_at: since }) => element("li", { class: "row" },
      element("span", { class: "name", text: username }), element("time", { class: "soft", datetime: since, text: moment(since) }))));
    list.tabIndex = data.length ? 0 : -1;
    none.hidden = data.length > 0;
  } catch (error) {
    explain(problem, error);
  }
}
