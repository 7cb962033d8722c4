// The form for a new stream, now or scheduled. It does not know what is done with it.

import { call } from "./api.js";
import { element, write } from "./dom.js";
import { explain } from "./refusals.js";

/** Gives the form; `made` is called with the new stream. */
export function createForm(made) {
  const title = element("input", { id: "new-title", name: "title", maxlength: 200, autocomplete: "off" });
  const description = element("textarea", { id: "new-description", name: "description", maxlength: 5000, rows: 3 });
  const later = element("input", { type: "checkbox", id: "new-later", on: { change: () => {
    when.hidden = !later.checked;
    time.required = later.checked;
  } } });
  const time = element("input", { type: "datetime-local", id: "new-time" });
  const when = element("p", { class: "field", hidden: true }, element("label", { for: "new-time", t: "begins" }), time);
  const record = element("input", { type: "checkbox", id: "new-record", checked: true });
  const problem = element("p", { class: "problem", role: "alert" });
  const button = element("button", { t: "create" });
  const form = element("form", { class: "stack" },
    element("p", { class: "field" }, element("label", { for: "new-title", t: "title" }), title),
    element("p", { class: "field" }, element("label", { for: "new-description", t: "description" }), description),
    element("p", { class: "row" }, later, element("label", { for: "new-later", t: "schedule" })), when,
    element("p", { class: "row" }, record, element("label", { for: "new-record", t: "record" })), problem, button);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    write(problem, "");
    const body = { title: title.value, description: description.value, record: record.checked };
    if (later.checked) body.program_date_time = new Date(time.value).toISOString();
    try {
      made(await call("POST", "/streams/", body));
    } catch (error) {
      explain(problem, error);
    } finally {
      button.disabled = false;
    }
  });
  return form;
}
