// The dialog to log in, create an account, activate it or ask for a new password, and the header's
// button for it. It does not know what a login is good for.

import { activate, create, logIn, logOut, onSession, reset } from "./api.js";
import { $, element, write } from "./dom.js";
import { explain } from "./refusals.js";

/** Each view: its title, its fields, its button, what it does. */
const VIEWS = {
  login: {
    fields: [["username", "userOrMail", "username"], ["password", "password", "current-password"]],
    act: ({ username, password }) => logIn(username, password),
  },
  create: {
    fields: [["username", "username", "username"], ["email", "email", "email"], ["password", "password", "new-password"]],
    act: signUp,
  },
  activate: {
    fields: [["email", "email", "email"], ["code", "code", "one-time-code"]],
    act: ({ email, code }) => activate(email, code),
  },
  reset: {
    fields: [["username", "userOrMail", "username"]],
    act: async ({ username }) => {
      await reset(username);
      return "login";
    },
  },
};
const LINKS = { login: ["create", "reset", "activate"], create: ["login", "activate"], activate: ["login"], reset: ["login"] };

let dialog;
let known = {};

/** Creates, and logs in where no activation is asked for; else goes on to the code. */
async function signUp(fields) {
  await create(fields);
  try {
    await logIn(fields.username, fields.password);
  } catch (error) {
    if (error.status !== 400 && error.status !== 401 && error.status !== 403) throw error;
    return "activate";
  }
  return null;
}

function field([name, key, autocomplete]) {
  const id = `account-${name}`;
  const type = { password: "password", email: "email" }[name] ?? "text";
  const input = element("input", {
    id, name, type, autocomplete, required: true, value: name === "password" ? null : known[name],
    minlength: autocomplete === "new-password" ? 8 : null,
    inputmode: name === "code" ? "numeric" : null,
    pattern: name === "code" ? "[0-9]{6}" : null,
    autocapitalize: "none", spellcheck: "false",
    "aria-describedby": "account-problem",
  });
  return element("p", { class: "field" }, element("label", { for: id, t: key }), input);
}

function show(view, note) {
  const form = element("form", { class: "stack" });
  const problem = element("p", { id: "account-problem", class: "problem", role: "alert" });
  const button = element("button", { t: `account.${view}` });
  if (note) form.append(element("p", { t: note, role: "status" }));
  form.append(...VIEWS[view].fields.map(field), problem, button);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const values = Object.fromEntries(new FormData(form));
    known = { ...known, ...values, password: undefined };
    button.disabled = true;
    write(problem, "");
    try {
      const next = await VIEWS[view].act(values);
      if (next) show(next, { activate: "codeSent", login: "resetSent" }[next]);
      else dialog.close();
    } catch (error) {
      explain(problem, error);
    } finally {
      button.disabled = false;
    }
  });
  const links = LINKS[view].map((other) => element("button", {
    type: "button", class: "link", t: `account.${other}`, on: { click: () => show(other) },
  }));
  const close = element("button", { type: "button", class: "plain", t: "close", on: { click: () => dialog.close() } });
  dialog.replaceChildren(
    element("h2", { id: "account-title", t: `account.${view}` }), form,
    element("div", { class: "row" }, ...links, close),
  );
  // What is known already is filled in.
  const inputs = [...dialog.querySelectorAll("input")];
  (inputs.find((one) => !one.value) ?? inputs[0])?.focus();
}

/** Opens the dialog. */
export function askLogin(view = "login") {
  if (!dialog) {
    dialog = element("dialog", { class: "small", "aria-labelledby": "account-title" });
    document.body.append(dialog);
  }
  show(view);
  if (!dialog.open) dialog.showModal();
}

/** Fills the header's place for who is logged in. */
export function start() {
  onSession((session) => {
    const place = $("account");
    if (!place) return;
    if (session) {
      place.replaceChildren(
        element("span", { class: "who", text: session.username }),
        element("button", { type: "button", class: "plain", t: "logOut", on: { click: logOut } }),
      );
    } else {
      place.replaceChildren(element("button", {
        type: "button", class: "plain", t: "account.login", on: { click: () => askLogin() },
      }));
    }
  });
}
