// Who moderates the own channel: named and removed by its owner. It does not know what they may do.

import { call } from "./api.js";
import { element, write } from "./dom.js";
import { explain } from "./refusals.js";

/** Fills `place` for a channel. */
export async function moderators(place, channel) {
  const path = `/channels/${encodeURIComponent(channel)}/moderators/`;
  const list = element("ul", { class: "own" });
  const problem = element("p", { class: "problem", role: "alert" });
  const input = element("input", { id: "new-moderator", required: true, autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
  const form = element("form", {}, element("label", { for: "new-moderator", t: "username" }), input, element("button", { t: "add" }));
  const attempt = async (request) => {
    write(problem, "");
    try {
      await request();
      return true;
    } catch (error) {
      explain(problem, error);
      return false;
    }
  };
  const refresh = () => attempt(async () => {
    const { data } = await call("GET", path);
    list.replaceChildren(...data.map(({ username }) => element("li", { class: "row" }, element("span", { class: "name", text: username }),
      element("button", { type: "button", class: "plain small", t: "remove", on: { click: async () => {
        if (await attempt(() => call("DELETE", path, { username }))) refresh();
      } } }))));
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!(await attempt(() => call("POST", path, { username: input.value.trim() })))) return;
    input.value = "";
    refresh();
  });
  place.replaceChildren(element("h2", { t: "moderators" }), list, form, problem);
  await refresh();
}
