// Questions: the lists, votes, asking, and the board of owner and moderators. It does not know how
// frames travel.

import { askLogin } from "./account.js";
import { clock, element, icon, say, sayAttribute, write } from "./dom.js";

const CHARS_MAX = 300;
const ORDERS = ["top", "new", "answered"];
/** What may follow each state, for who runs the board. */
const NEXT = {
  pending: ["open", "dismissed"],
  open: ["live", "answered", "dismissed"],
  live: ["answered", "open"],
  answered: ["open"],
  dismissed: ["open"],
};

class Questions {
  #items = new Map();
  #votes = new Set();
  #order = "top";

  constructor({ socket, me, place, news }) {
    Object.assign(this, { socket, me, news });
    this.banner = element("div", { class: "pinned", hidden: true, role: "status" });
    this.orders = element("div", { class: "orders", role: "group", label: "order" }, ...ORDERS.map((name) => element("button", {
      type: "button", class: "plain small", t: `order.${name}`, "aria-pressed": String(name === this.#order),
      on: { click: () => this.#sort(name) },
    })));
    this.list = element("ol");
    this.scroll = element("div", { class: "lines", role: "region", tabindex: "0", label: "tab.questions" }, this.list);
    this.empty = element("p", { class: "soft empty", t: "questionsEmpty" });
    this.#buildForm();
    place.append(this.banner, this.orders, this.empty, this.scroll, this.form);
    this.#listen();
    this.#draw();
  }

  #buildForm() {
    this.input = element("textarea", { id: "question-input", rows: 2, maxlength: CHARS_MAX, hint: "questionHint", "aria-describedby": "question-problem" });
    this.anonymous = element("input", { type: "checkbox", id: "question-anonymous" });
    this.problem = element("p", { id: "question-problem", class: "problem", role: "alert" });
    this.fields = element("div", { class: "stack" },
      element("label", { for: "question-input", class: "hidden-label", t: "question" }), this.input,
      element("div", { class: "row" }, this.anonymous, element("label", { for: "question-anonymous", t: "anonymous" }),
        element("span", { class: "gap" }), element("button", { t: "ask" })));
    this.login = element("button", { type: "button", t: "loginToAsk", on: { click: () => askLogin() } });
    this.form = element("form", { class: "say" }, this.fields, this.login, this.problem);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask();
    });
  }

  #listen() {
    const { socket, me } = this;
    socket.on("questions", ({ items = [] }) => {
      this.#items = new Map(items.map((one) => [one.id, one]));
      this.#draw();
    });
    socket.on("question", (one) => {
      this.#items.set(one.id, one);
      this.#draw();
      this.news();
    });
    socket.on("question_updated", (one) => {
      this.#items.set(one.id, { ...this.#items.get(one.id), ...one });
      this.#draw();
    });
    socket.on("my_votes", ({ ids = [] }) => {
      this.#votes = new Set(ids);
      this.#draw();
    });
    me.onChange(() => this.#draw());
  }

  #sort(name) {
    this.#order = name;
    [...this.orders.children].forEach((button, n) => button.setAttribute("aria-pressed", String(ORDERS[n] === name)));
    this.#draw();
  }

  #shown() {
    const all = [...this.#items.values()].filter((one) => !one.duplicate_of && (this.me.moderates || !["dismissed", "pending"].includes(one.state)));
    const done = (one) => ["answered", "dismissed"].includes(one.state);
    const wanted = all.filter((one) => (this.#order === "answered") === done(one));
    const newest = (a, b) => Date.parse(b.created_at) - Date.parse(a.created_at);
    const first = (one) => (one.state === "live" ? 2 : 0) + (one.pinned ? 1 : 0);
    return wanted.sort((a, b) => (this.#order === "top" ? first(b) - first(a) || b.votes - a.votes || newest(a, b) : newest(a, b)));
  }

  #draw() {
    const inside = this.me.value.authenticated;
    this.fields.hidden = !inside;
    this.login.hidden = inside;
    const shown = this.#shown();
    const focus = document.activeElement?.closest?.("[data-question]")?.dataset;
    const act = document.activeElement?.dataset?.act;
    this.list.replaceChildren(...shown.map((one) => this.#item(one)));
    this.empty.hidden = shown.length > 0;
    if (focus) this.list.querySelector(`[data-question="${CSS.escape(focus.question)}"] [data-act="${CSS.escape(act ?? "vote")}"]`)?.focus();
    this.#announce();
  }

  /** The question on screen now, else the pinned one. */
  #announce() {
    const all = [...this.#items.values()];
    const one = all.find(({ state }) => state === "live") ?? all.find(({ pinned }) => pinned);
    this.banner.hidden = !one;
    if (!one || this.banner.dataset.shown === `${one.id}${one.state}`) return;
    this.banner.dataset.shown = `${one.id}${one.state}`;
    this.banner.replaceChildren(element("p", { class: "soft", t: one.state === "live" ? "onScreen" : "pinned" }), element("p", { text: one.text }));
  }

  #item(one) {
    const mine = this.#votes.has(one.id);
    const vote = element("button", { type: "button", class: "vote", "aria-pressed": String(mine), "data-act": "vote", on: { click: () => this.#vote(one, mine) } },
      icon("up"), element("span", { text: String(one.votes) }));
    sayAttribute(vote, "aria-label", "vote", { n: one.votes });
    vote.disabled = ["answered", "dismissed"].includes(one.state);
    const author = one.user ? element("span", { class: "user", text: one.user }) : element("span", { class: "soft", t: "someone" });
    const body = element("div", { class: "question-body" }, element("p", { class: "by" }, author,
      one.state === "open" ? null : element("span", { class: `badge ${one.state}`, t: `question.${one.state}` }),
      one.pinned ? element("span", { class: "badge", t: "pinned" }) : null), element("p", { class: "text", text: one.text }));
    if (one.answer) body.append(element("p", { class: "quote", text: one.answer }));
    if (Number.isFinite(one.answered_offset_s)) body.append(element("p", { class: "soft", t: "answeredAt", args: { time: clock(one.answered_offset_s) } }));
    if (this.me.moderates) body.append(this.#board(one));
    const item = element("li", { class: "question" }, vote, body);
    item.dataset.question = one.id;
    return item;
  }

  #board(one) {
    const states = (NEXT[one.state] ?? []).map((state) => element("button", {
      type: "button", class: "plain small", t: `set.${state}`, "data-act": state, on: { click: () => this.#try("question_state", { id: one.id, state }) },
    }));
    const pin = element("button", {
      type: "button", class: "plain small", t: one.pinned ? "unpin" : "act.pin", "data-act": "pin",
      on: { click: () => this.#try("question_pin", { id: one.id, pinned: !one.pinned }) },
    });
    const row = element("div", { class: "row board" }, ...states, pin);
    if (["open", "live"].includes(one.state)) row.append(this.#answer(one));
    return row;
  }

  #answer(one) {
    const id = `answer-${one.id}`;
    const input = element("input", { id, maxlength: 1000, "data-act": "answer" });
    const form = element("form", { class: "row" }, element("label", { for: id, class: "hidden-label", t: "answer" }), input, element("button", { class: "plain small", t: "reply" }));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (input.value.trim()) this.#try("question_state", { id: one.id, state: "answered", answer: input.value.trim() });
    });
    return element("details", {}, element("summary", { t: "answerInWriting" }), form);
  }

  async #vote(one, mine) {
    if (!this.me.value.authenticated) {
      askLogin();
      return;
    }
    // Shown before the server has answered; put back when it refuses.
    const turn = (on) => (on ? this.#votes.add(one.id) : this.#votes.delete(one.id));
    turn(!mine);
    this.#draw();
    if (!(await this.#try("question_vote", { id: one.id, vote: mine ? 0 : 1 }))) {
      turn(mine);
      this.#draw();
    }
  }

  async #ask() {
    const text = this.input.value.trim();
    if (!text) return;
    if (await this.#try("question", { text, anonymous: this.anonymous.checked })) {
      this.input.value = "";
      say(this.problem, "asked");
      this.problem.classList.add("good");
    }
  }

  async #try(type, data) {
    this.problem.classList.remove("good");
    try {
      await this.socket.send(type, data);
      write(this.problem, "");
      return true;
    } catch (error) {
      if (error.code === "auth_required") askLogin();
      say(this.problem, `error.${error.code}`, { n: Math.ceil(error.retryAfter_s ?? 0) });
      return false;
    }
  }
}

export const startQuestions = (parts) => new Questions(parts);
