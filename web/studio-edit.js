// The form that changes what a stream is called, what is said of it and, before it begins, when that
// is. It does not know what a desk shows.

import { call, streamPath } from "./api.js";
import { element, write } from "./dom.js";
import { explain } from "./refusals.js";

/** A moment as an input of the reader's time zone takes it. */
function local(time) {
  const at = new Date(time);
  return new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** Gives the form for `stream`; only its owner is shown it. */
export function editForm(stream) {
  const title = element("input", { id: "edit-title", maxlength: 200, autocomplete: "off" });
  const description = element("textarea", { id: "edit-description", maxlength: 5000, rows: 3 });
  const time = element("input", { type: "datetime-local", id: "edit-time", required: true });
  const when = element("p", { class: "field", hidden: true }, element("label", { for: "edit-time", t: "begins" }), time);
  const problem = element("p", { class: "problem", role: "alert" });
  const button = element("button", { t: "save" });
  const leave = element("button", { type: "button", class: "plain", t: "cancel", on: { click: () => { place.open = false; } } });
  const form = element("form", { class: "stack" },
    element("p", { class: "field" }, element("label", { for: "edit-title", t: "title" }), title),
    element("p", { class: "field" }, element("label", { for: "edit-description", t: "description" }), description),
    when, problem, element("div", { class: "row" }, button, leave));
  const place = element("details", { class: "card edit", hidden: true }, element("summary", { t: "edit" }), form);
  const fill = () => {
    const value = stream.value ?? {};
    const scheduled = value.status === "pending" && Boolean(value.program_date_time);
    title.value = value.title ?? "";
    description.value = value.description ?? "";
    when.hidden = !scheduled;
    time.disabled = !scheduled;
    if (scheduled) time.value = local(value.program_date_time);
    write(problem, "");
  };
  // Before it opens, for the keyboard too; `toggle` comes so late that something may be typed already.
  place.firstElementChild.addEventListener("click", () => place.open || fill());
  stream.onChange(({ key, missing }) => { place.hidden = missing || !key; });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    write(problem, "");
    const body = { title: title.value, description: description.value };
    // An untouched time stays as exact as it was.
    if (!time.disabled && time.value !== local(stream.value.program_date_time)) body.program_date_time = new Date(time.value).toISOString();
    try {
      stream.merge(await call("PATCH", streamPath(stream.uid), body));
      place.open = false;
      place.firstElementChild.focus();
    } catch (error) {
      explain(problem, error);
    } finally {
      button.disabled = false;
    }
  });
  return place;
}
