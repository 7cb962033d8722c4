// Calls of the REST API, and the login: its token is renewed at half its life, in one place for all
// of a browser's tabs. It does not know what is shown.

const KEY = "cauce.session";
/** Longest wait of one timer; browsers overflow above 24 days. */
const TIMER_MS_MAX = 3_600_000;

const listeners = new Set();
let memory = null;
let timer;

/** What a call was refused with. */
export class Refusal extends Error {
  constructor(status, body, retryAfter_s) {
    super(words(body) || `HTTP ${status}`);
    this.status = status;
    this.code = body?.code ?? null;
    /** Faults by field. */
    this.fields = !body || body.detail ? {} : body;
    this.retryAfter_s = retryAfter_s;
  }
}

function words(body) {
  if (!body || typeof body !== "object") return "";
  if (body.detail) return body.detail;
  const lines = Object.entries(body).map(([name, faults]) => {
    const text = [faults].flat().join(" ");
    return name === "non_field_errors" ? text : `${name}: ${text}`;
  });
  return lines.join("\n");
}

/** {username, token, issued_at}, or null. */
export function session() {
  try {
    return JSON.parse(localStorage.getItem(KEY));
  } catch {
    return memory;
  }
}

function keep(value) {
  memory = value;
  try {
    if (value) localStorage.setItem(KEY, JSON.stringify(value));
    else localStorage.removeItem(KEY);
  } catch {
    // Without storage the login lasts as long as the page.
  }
  changed();
}

function changed() {
  schedule();
  for (const listener of listeners) listener(session());
}

/** Calls `listener` now and at every login, renewal and logout. */
export function onSession(listener) {
  listeners.add(listener);
  listener(session());
}

// Another tab logged in or out.
addEventListener("storage", (event) => {
  if (event.key === KEY) changed();
});

/** When the token is to be renewed, ms since 1970; null when it says nothing. */
function halfLife_ms(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const { iat, exp } = JSON.parse(atob(part));
    return ((iat + exp) / 2) * 1000;
  } catch {
    return null;
  }
}

function schedule() {
  clearTimeout(timer);
  const half = halfLife_ms(session()?.token ?? "");
  if (!half) return;
  timer = setTimeout(renew, Math.min(Math.max(half - Date.now(), 1000), TIMER_MS_MAX));
}

async function renew() {
  const before = session();
  if (!before) return;
  if (Date.now() < halfLife_ms(before.token)) {
    schedule();
    return;
  }
  try {
    const { data } = await call("POST", "/token/?refresh=true");
    keep(data);
  } catch (error) {
    if (error.status === 401) return;
    // The server is away: it is asked again while the token still lives.
    timer = setTimeout(renew, 10_000 + Math.random() * 10_000);
  }
}

schedule();

/** One call. Gives the JSON, or null; throws a [`Refusal`], or a TypeError when nobody answered. */
export async function call(method, path, body) {
  const token = session()?.token;
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
  });
  const text = await answer.text();
  let value = null;
  try {
    value = text ? JSON.parse(text) : null;
  } catch {
    // A proxy's page: its status says enough.
  }
  if (answer.ok) return value;
  if (answer.status === 401 && token) {
    // The token is spent. What anybody may read is read without it.
    if (session()?.token === token) keep(null);
    if (method === "GET") return call(method, path);
  }
  throw new Refusal(answer.status, value, Number(answer.headers.get("Retry-After")) || null);
}

export async function logIn(username, password) {
  const { data } = await call("POST", "/token/", { username, password });
  keep(data);
}

export const create = (fields) => call("POST", "/token/?create=true", fields);

export async function activate(email, code) {
  const { data } = await call("POST", "/token/?active=true", { email, activation_code: code });
  keep(data);
}

export const reset = (username) => call("POST", "/token/?reset=true", { username });

export const logOut = () => keep(null);

export const streamPath = (uid, action = "") => `/streams/${encodeURIComponent(uid)}/${action}`;
