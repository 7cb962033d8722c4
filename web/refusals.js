// What the REST API refuses in English, in the reader's language. Its words are the key where a code
// says too little; words that are not known here are shown as they came. It does not know any page.

import { element, say, write } from "./dom.js";

/** Words of the server: [pattern, text's key]; what the pattern finds is `n` of the text. */
export const WORDS = [
  [/^This field (?:is required|may not be (?:null|blank))\.$/, "required"],
  [/no more than (\d+) characters/, "tooLong"],
  [/too short.* at least (\d+) characters/, "tooShort"],
  [/^Enter a valid username/, "username"],
  [/^Enter a valid email/, "email"],
  [/^A (?:user|channel) with that \w+ already exists/, "taken"],
  [/^(?:Control|Null) characters/, "characters"],
  [/^The code is wrong or has expired/, "code"],
  [/^This account is not activated/, "notActive"],
  [/^There is no such user/, "noUser"],
  [/^There is no such channel|^The account has no channel/, "noChannel"],
  [/^The owner moderates/, "ownerModerates"],
  [/^Datetime has wrong format/, "time"],
  [/open stream already/, "secondOpen"],
  [/^The stream has begun: its time/, "timeFixed"],
  [/^The stream is not scheduled/, "notScheduled"],
  [/^The stream has ended/, "ended"],
  [/^The stream has not begun/, "notBegun"],
  [/^The stream has not ended|^The stream is live/, "stillLive"],
  [/^The stream changes at this moment/, "changes"],
];

/** Codes that say all by themselves. */
const CODES = ["throttled", "unavailable", "not_found", "permission_denied", "not_authenticated", "token_expired", "token_not_valid", "login_expired", "too_large"];

/** The server's names for what a form calls otherwise, in the order of the forms. */
const FIELDS = { username: "username", email: "email", password: "password", activation_code: "code", title: "title", description: "description", program_date_time: "begins" };

/** The text's key and what it is about, or null. */
function known(words) {
  // What is told to who mistyped, whatever it was.
  if (/^Unable to log ?in/.test(words)) return ["wrongLogin"];
  for (const [pattern, key] of WORDS) {
    const found = pattern.exec(words);
    if (found) return [`refused.${key}`, { n: found[1] ?? "" }];
  }
  return null;
}

function line(words) {
  const [key, args] = known(words) ?? [];
  return element("span", key ? { t: key, args } : { text: words });
}

/** Says in `place` why a call failed: `error` is what `call` threw. */
export function explain(place, error) {
  if (error instanceof TypeError) {
    say(place, "noServer");
    return;
  }
  write(place, "");
  const order = Object.keys(FIELDS);
  const lines = Object.entries(error.fields ?? {})
    .sort(([a], [b]) => order.indexOf(a) - order.indexOf(b))
    .flatMap(([name, faults]) => [faults].flat().map((fault) => [name, String(fault)]));
  if (lines.length === 0) {
    const { code } = error;
    const said = known(error.message);
    if (said) say(place, ...said);
    else if (CODES.includes(code)) say(place, `refused.${code}`, { n: error.retryAfter_s ?? "" });
    else write(place, error.message);
    return;
  }
  lines.forEach(([name, fault], n) => {
    if (n) place.append("\n");
    if (FIELDS[name]) place.append(element("span", { t: FIELDS[name] }), ": ");
    else if (name !== "non_field_errors") place.append(`${name}: `);
    place.append(line(fault));
  });
}
