// Chat: history, sending before the server has answered, replies, changes of what was said, the
// moderators' menu, slow mode.
// It does not know how frames travel.

import { askLogin } from "./account.js";
import { confirmed, element, icon, say, write } from "./dom.js";
import { locale } from "./i18n.js";

/** More lines than this are not kept on the page. */
const LINES_MAX = 300;
const CHARS_MAX = 500;
const TIMEOUT_S = 600;
/** So long a history is not read out: what is said from now on is. */
const QUIET_MS = 1000;

const hour = (time) => new Date(time).toLocaleTimeString(locale(), { hour: "2-digit", minute: "2-digit" });

class Chat {
  #lines = new Map();
  #epoch = null;
  #slow_s = 0;
  #freeAt = 0;
  #replyTo = null;
  #atEnd = true;
  /** The own message that is being changed. */
  #editing = null;

  constructor({ socket, stream, me, place, news }) {
    Object.assign(this, { socket, stream, me, news });
    this.pinned = element("div", { class: "pinned", hidden: true });
    this.list = element("ol");
    this.scroll = element("div", { class: "lines", role: "log", "aria-live": "off", label: "chatMessages", tabindex: "0" }, this.list);
    // Whoever reads the newest goes on doing so when something above or below takes its place.
    this.scroll.addEventListener("scroll", () => { this.#atEnd = this.#nearEnd(); });
    new ResizeObserver(() => {
      if (this.#atEnd) this.scroll.scrollTop = this.scroll.scrollHeight;
    }).observe(this.scroll);
    this.empty = element("p", { class: "soft empty", t: "chatEmpty" });
    this.#buildForm();
    place.append(this.pinned, this.empty, this.scroll, this.settings = element("p", { class: "soft settings" }), this.#tools(), this.form);
    this.#listen();
    this.#refresh();
    setInterval(() => this.#countdown(), 500);
  }

  #buildForm() {
    this.input = element("textarea", { id: "chat-input", rows: 1, maxlength: CHARS_MAX * 2, hint: "chatHint", "aria-describedby": "chat-problem", on: {
      keydown: (event) => {
        if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
        event.preventDefault();
        this.form.requestSubmit();
      },
      input: () => {
        write(this.problem, "");
        this.problem.classList.remove("good");
      },
    } });
    this.sendButton = element("button", { t: "send" });
    this.problem = element("p", { id: "chat-problem", class: "problem", role: "alert" });
    this.replying = element("p", { class: "replying", hidden: true });
    this.login = element("button", { type: "button", t: "loginToChat", on: { click: () => askLogin() } });
    this.form = element("form", { class: "say" },
      this.replying, element("label", { for: "chat-input", class: "hidden-label", t: "message" }),
      this.input, this.sendButton, this.login, this.problem);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
  }

  /** What moderators may switch for the whole room. */
  #tools() {
    const slow = element("select", { id: "chat-slow", on: { change: () => this.#moderate({ action: "slow", seconds: Number(slow.value) }) } },
      ...[0, 5, 10, 30, 60].map((s) => element("option", { value: s, t: s ? "seconds" : "off", args: { n: s } })));
    const only = element("input", { type: "checkbox", id: "chat-subscribers", on: { change: () => this.#moderate({ action: "subscribers_only", enabled: only.checked }) } });
    this.slowSelect = slow;
    this.onlyBox = only;
    const again = element("input", { id: "chat-unban", required: true, autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
    const unban = element("form", { class: "row" }, element("label", { for: "chat-unban", t: "unban" }), again, element("button", { class: "plain", t: "unbanDo" }));
    unban.addEventListener("submit", async (event) => {
      event.preventDefault();
      const user = again.value.trim();
      if (user && (await this.#done("unbanned", { action: "unban", user }))) again.value = "";
    });
    this.tools = element("details", { class: "tools", hidden: true }, element("summary", { t: "moderation" }),
      element("p", { class: "row" }, element("label", { for: "chat-slow", t: "slowMode" }), slow),
      element("p", { class: "row" }, only, element("label", { for: "chat-subscribers", t: "subscribersOnly" })), unban);
    return this.tools;
  }

  #listen() {
    const { socket, me, stream } = this;
    socket.on("chat_history", (data) => this.#history(data));
    socket.on("chat", (message) => {
      this.#put(message);
      if (message.user !== me.value.username) this.news();
    });
    socket.on("chat_edited", ({ id, message }) => {
      const line = this.#lines.get(id);
      if (!line) return;
      line.message = { ...line.message, message, edited_at: true };
      this.#draw(line);
    });
    socket.on("chat_deleted", ({ id }) => {
      const line = this.#lines.get(id);
      if (!line) return;
      line.message = { ...line.message, deleted: true };
      this.#draw(line);
    });
    socket.on("chat_settings", ({ slow_s: slow, subscribers_only: only }) => {
      // Who waits because of it need not any more.
      if (this.#slow_s && !slow) this.#freeAt = 0;
      this.#slow_s = slow ?? 0;
      this.slowSelect.value = String(this.#slow_s);
      this.onlyBox.checked = Boolean(only);
      if (only) say(this.settings, "onlySubscribers");
      else if (this.#slow_s) say(this.settings, "slowIs", { n: this.#slow_s });
      else write(this.settings, "");
    });
    socket.on("chat_pinned", ({ message }) => this.#pin(message));
    socket.on("state", () => this.#refresh());
    me.onChange(() => {
      this.#refresh();
      for (const line of this.#lines.values()) this.#draw(line);
    });
    stream.onChange(() => this.#refresh());
  }

  #history({ messages = [], epoch, seq }) {
    this.scroll.setAttribute("aria-live", "off");
    setTimeout(() => this.scroll.setAttribute("aria-live", "polite"), QUIET_MS);
    // After a resume with the same epoch these are only what was missed.
    if (epoch !== this.#epoch) {
      for (const [id, line] of this.#lines) {
        if (line.pending) continue;
        line.node.remove();
        this.#lines.delete(id);
      }
    }
    this.#epoch = epoch;
    for (const message of messages) this.#put(message);
    this.socket.resumeFrom(seq, epoch);
  }

  #put(message) {
    this.socket.resumeFrom(message.seq);
    const own = [...this.#lines.entries()].find(([, line]) =>
      line.pending && line.message.user === message.user && line.message.message.normalize("NFKC") === message.message.normalize("NFKC"));
    const known = this.#lines.get(message.id);
    if (known) {
      known.message = { ...known.message, ...message };
      known.pending = false;
      this.#draw(known);
      return;
    }
    if (own) {
      own[1].node.remove();
      this.#lines.delete(own[0]);
    }
    this.#insert(message.id, { message, pending: false });
  }

  #nearEnd() {
    return this.scroll.scrollHeight - this.scroll.scrollTop - this.scroll.clientHeight < 60;
  }

  #insert(id, line) {
    const stick = this.#atEnd || this.#nearEnd();
    line.node = element("li");
    line.node.dataset.id = id;
    this.#lines.set(id, line);
    this.#draw(line);
    const after = [...this.list.children].reverse().find((node) => {
      const other = this.#lines.get(node.dataset.id)?.message.seq ?? Infinity;
      return other <= (line.message.seq ?? Infinity);
    });
    if (after) after.after(line.node);
    else this.list.prepend(line.node);
    while (this.list.children.length > LINES_MAX) {
      this.#lines.delete(this.list.firstElementChild.dataset.id);
      this.list.firstElementChild.remove();
    }
    this.empty.hidden = true;
    if (stick || line.pending) this.scroll.scrollTop = this.scroll.scrollHeight;
  }

  #draw(line) {
    const { message, pending, node } = line;
    node.className = pending ? "pending" : "";
    const quoted = message.reply_to && this.#lines.get(message.reply_to)?.message;
    const parts = [element("span", { class: `user ${message.role ?? ""}`, text: message.user })];
    if (["owner", "moderator"].includes(message.role)) parts.push(element("span", { class: "badge", t: `role.${message.role}` }));
    if (message.created_at) parts.push(element("time", { class: "soft", text: hour(message.created_at), datetime: message.created_at }));
    if (!pending && !message.deleted) parts.push(this.#menu(line));
    const text = message.deleted ? element("p", { class: "soft text", t: "deleted" }) : element("p", { class: "text", text: message.message });
    if (message.edited_at && !message.deleted) text.append(" ", element("span", { class: "soft", t: "edited" }));
    node.replaceChildren(
      ...(quoted && !quoted.deleted ? [element("p", { class: "quote", text: `${quoted.user}: ${quoted.message}` })] : []),
      element("p", { class: "by" }, ...parts), text,
    );
  }

  #menu(line) {
    const { message } = line;
    const { me } = this;
    if (!me.value.authenticated) return null;
    const actions = [["reply", () => this.#reply(message)]];
    const mine = message.user === me.value.username;
    if (mine) actions.push(["edit", () => this.#change(message)]);
    if (me.moderates) actions.push(["pin", () => this.#moderate({ action: "pin", id: message.id })]);
    if (mine || me.moderates) actions.push(["delete", () => this.#try("chat_delete", { id: message.id })]);
    if (me.moderates) {
      if (!mine && message.role !== "owner") {
        const { user } = message;
        actions.push(["timeout", () => this.#done("silenced", { action: "timeout", user, seconds: TIMEOUT_S })]);
        actions.push(["ban", async () => {
          if (await confirmed("banSure", "ban", { user })) this.#done("banned", { action: "ban", user });
        }]);
      }
    }
    const menu = element("details", { class: "menu" },
      element("summary", { label: "actionsFor", args: { user: message.user } }, icon("more")),
      element("div", { class: "menu-items" }, ...actions.map(([name, act]) => element("button", {
        type: "button", class: "plain", t: `act.${name}`, on: { click: () => {
          menu.open = false;
          act();
        } },
      }))));
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      menu.open = false;
      menu.firstElementChild.focus();
    });
    menu.addEventListener("focusout", (event) => {
      if (!menu.contains(event.relatedTarget) && event.relatedTarget) menu.open = false;
    });
    return menu;
  }

  #reply(message) {
    this.#plain();
    this.#replyTo = message.id;
    this.#announce({ t: "replyingTo", args: { user: message.user } });
  }

  /** Puts an own message into the box, to be sent again as it should have been. */
  #change(message) {
    this.#plain();
    this.#editing = message.id;
    this.input.value = message.message;
    this.#announce({ t: "editing" });
  }

  #announce(words) {
    this.replying.hidden = false;
    this.replying.replaceChildren(element("span", words),
      element("button", { type: "button", class: "plain small", label: "cancel", text: "×", on: { click: () => this.#plain() } }));
    this.#countdown();
    this.input.focus();
  }

  /** What is typed is a message of its own again. */
  #plain() {
    if (this.#editing) this.input.value = "";
    this.#editing = null;
    this.#replyTo = null;
    this.replying.hidden = true;
    this.#countdown();
  }

  #pin(message) {
    this.pinned.hidden = !message;
    if (!message) return;
    const unpin = element("button", { type: "button", class: "plain small", t: "unpin", on: { click: () => this.#moderate({ action: "unpin" }) } });
    unpin.hidden = this.tools.hidden;
    this.unpin = unpin;
    this.pinned.replaceChildren(element("p", { class: "soft", t: "pinned" }),
      element("p", {}, element("strong", { text: message.user }), ` ${message.message}`), unpin);
  }

  #moderate(data) {
    return this.#try("chat_moderate", data);
  }

  /** Moderates, and says so: nothing else would show it. */
  async #done(said, data) {
    if (!(await this.#moderate(data))) return false;
    say(this.problem, said, { user: data.user });
    this.problem.classList.add("good");
    return true;
  }

  async #try(type, data) {
    try {
      await this.socket.send(type, data);
      write(this.problem, "");
      return true;
    } catch (error) {
      this.#refused(error);
      return false;
    }
  }

  async #send() {
    const message = this.input.value.trim();
    const { me, socket } = this;
    if (!message) return;
    if (!socket.open) {
      say(this.problem, "error.offline");
      return;
    }
    if (this.#editing) {
      // What is refused stays in the box, and stays a change of that message.
      if (await this.#try("chat_edit", { id: this.#editing, message })) this.#plain();
      return;
    }
    const id = `pending-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    const replyTo = this.#replyTo;
    this.#insert(id, { pending: true, message: { user: me.value.username, role: me.value.role, message, reply_to: replyTo } });
    this.input.value = "";
    this.#plain();
    write(this.problem, "");
    const known = () => this.#lines.get(id);
    try {
      const ack = await socket.send("chat", replyTo ? { message, reply_to: replyTo } : { message });
      const line = known();
      if (line) {
        // The broadcast comes too, and then finds the line by its name.
        this.#lines.delete(id);
        line.node.remove();
        if (ack.id && !this.#lines.has(ack.id)) {
          this.#insert(ack.id, { pending: false, message: { ...line.message, id: ack.id, seq: ack.seq, created_at: new Date().toISOString() } });
        }
      }
      this.#freeAt = this.#slow_s && !me.moderates ? Date.now() + this.#slow_s * 1000 : 0;
    } catch (error) {
      known()?.node.remove();
      this.#lines.delete(id);
      // What was refused stays with its author.
      this.input.value = this.input.value ? `${message} ${this.input.value}` : message;
      this.#refused(error);
    }
    this.#countdown();
  }

  #refused(error) {
    this.problem.classList.remove("good");
    if (error.retryAfter_s) this.#freeAt = Date.now() + error.retryAfter_s * 1000;
    if (error.code === "auth_required" || error.code === "token_expired") askLogin();
    say(this.problem, `error.${error.code}`, { n: Math.ceil(error.retryAfter_s ?? 0) });
    this.#countdown();
  }

  #countdown() {
    const left_s = Math.ceil((this.#freeAt - Date.now()) / 1000);
    // Slow mode holds up what is new, not what is put right.
    if (left_s > 0 && !this.#editing) {
      say(this.sendButton, "sendIn", { n: left_s });
      this.sendButton.disabled = true;
    } else {
      say(this.sendButton, this.#editing ? "save" : "send");
      this.sendButton.disabled = !this.socket.open || this.stream.value?.status !== "live";
    }
  }

  #refresh() {
    const live = this.stream.value?.status === "live";
    const inside = this.me.value.authenticated;
    this.input.hidden = !inside || !live;
    this.sendButton.hidden = this.input.hidden;
    this.login.hidden = inside || !live;
    this.tools.hidden = !this.me.moderates || !live;
    if (this.unpin) this.unpin.hidden = this.tools.hidden;
    this.scroll.classList.toggle("closed", !live);
    this.empty.hidden = this.#lines.size > 0;
    say(this.empty, live ? "chatEmpty" : "chatWhenLive");
    this.#countdown();
  }
}

export const startChat = (parts) => new Chat(parts);
