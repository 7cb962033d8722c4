// The API's page: shows /openapi.json, and /asyncapi.json where there is one. It knows the two
// formats as far as our documents use them, and nothing of what they describe.

const METHODS = ["get", "post", "put", "patch", "delete"];
const place = document.querySelector("#document");
const state = document.querySelector("#state");

/** An element with a class, text and children; text is never read as HTML. */
function element(name, { className, text, id, children = [] } = {}) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  if (id) made.id = id;
  made.append(...children);
  return made;
}

/** Plain text with `code` and **strong** in it. */
function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((piece) => {
    if (piece.startsWith("`")) return element("code", { text: piece.slice(1, -1) });
    if (piece.startsWith("**")) return element("strong", { text: piece.slice(2, -2) });
    return piece;
  });
}

function paragraphs(text) {
  if (!text) return [];
  return text.trim().split(/\n\s*\n/).map((part) => element("p", { children: inline(part) }));
}

/** Follows `$ref` inside one document; what stands beside it wins. */
function resolver(root) {
  return function resolve(value) {
    let found = value ?? {};
    for (let depth = 0; found.$ref && depth < 8; depth += 1) {
      const { $ref, ...beside } = found;
      const target = $ref.slice(2).split("/").reduce(
        (at, part) => at?.[part.replaceAll("~1", "/").replaceAll("~0", "~")], root);
      found = { ...target, ...beside };
    }
    return found;
  };
}

const refName = (schema) => schema?.$ref?.split("/").pop();

/** A schema in one line, like `array of Stream`. */
function brief(schema, resolve) {
  const name = refName(schema);
  if (name && resolve(schema).properties) return name;
  const plain = resolve(schema);
  if (plain.const !== undefined) return JSON.stringify(plain.const);
  const several = plain.anyOf ?? plain.oneOf;
  if (several) return several.map((one) => brief(one, resolve)).join(" or ");
  if (plain.enum) return plain.enum.map((one) => JSON.stringify(one)).join(" | ");
  const type = [plain.type ?? "anything"].flat().join(" or ");
  if (plain.type === "array") return `array of ${brief(plain.items, resolve)}`;
  const details = [
    plain.format,
    plain.pattern && `/${plain.pattern}/`,
    plain.minimum !== undefined && `at least ${plain.minimum}`,
    plain.default !== undefined && `default ${JSON.stringify(plain.default)}`,
  ].filter(Boolean);
  return details.length ? `${type}, ${details.join(", ")}` : type;
}

/** A term and its description. */
function row(name, required, schema, description, resolve, depth) {
  const term = element("dt", { className: required ? "required" : "", text: name });
  if (required) term.title = "required";
  const plain = resolve(schema);
  const about = element("dd", { children: [
    element("span", { className: "type", children: [typed(schema, resolve)] }),
    ...(description ?? plain.description ? [" ", ...inline(description ?? plain.description)] : []),
  ] });
  if (!refName(schema) && plain.properties && depth < 4) {
    about.append(table(schema, resolve, depth + 1));
  }
  return [term, about];
}

/** A schema's line, as a link where it has a name of its own. */
function typed(schema, resolve) {
  const target = schema?.type === "array" ? schema.items : schema;
  const name = refName(target);
  if (!name || !resolve(target).properties) return document.createTextNode(brief(schema, resolve));
  const link = element("a", { text: brief(schema, resolve) });
  link.href = `#schema-${name}`;
  return link;
}

/** An object's fields. */
function table(schema, resolve, depth = 0) {
  const plain = resolve(schema);
  const fields = Object.entries(plain.properties ?? {});
  return element("dl", { children: fields.flatMap(([name, field]) =>
    row(name, plain.required?.includes(name), field, field.description, resolve, depth)) });
}

/** A schema as large as it needs to be. */
function shown(schema, resolve) {
  const plain = resolve(schema);
  const several = plain.anyOf ?? plain.oneOf;
  if (several) {
    return several.flatMap((one) => [
      element("h3", { text: resolve(one).title ?? refName(one) ?? "" }), ...shown(one, resolve),
    ]);
  }
  const line = element("p", { className: "type", children: [typed(schema, resolve)] });
  return plain.properties ? [table(schema, resolve)] : [line];
}

function security(operation) {
  const needs = operation.security ?? [];
  if (!needs.length) return "No login.";
  return needs.some((one) => !Object.keys(one).length) ? "Login optional." : "Login needed.";
}

function parameterRows(parameters, resolve) {
  return parameters.map(resolve).flatMap((one) =>
    row(`${one.name} (${one.in})`, one.required, one.schema, one.description, resolve, 0));
}

function content(body, resolve) {
  return Object.entries(body.content ?? {}).flatMap(([type, { schema }]) => [
    element("p", { className: "type", text: type }), ...shown(schema, resolve),
  ]);
}

function responseRows(responses, resolve) {
  return Object.entries(responses).flatMap(([status, response]) => {
    const plain = resolve(response);
    const schemas = Object.values(plain.content ?? {}).map((one) => one.schema);
    const types = schemas.length
      ? [" ", element("span", { className: "type", children: schemas.slice(0, 1).map((s) => typed(s, resolve)) })]
      : [];
    return [
      element("dt", { text: status }),
      element("dd", { children: [...inline(plain.description ?? ""), ...types] }),
    ];
  });
}

/** One operation, closed until it is asked for. */
function operation(method, path, item, resolve) {
  const own = item[method];
  const parameters = [...(item.parameters ?? []), ...(own.parameters ?? [])];
  const inside = element("div", { className: "inside", children: [
    ...paragraphs(own.description),
    element("p", { className: "soft", text: security(own) }),
  ] });
  if (parameters.length) {
    inside.append(element("h3", { text: "Parameters" }),
      element("dl", { children: parameterRows(parameters, resolve) }));
  }
  if (own.requestBody) {
    inside.append(element("h3", { text: "Body" }), ...content(resolve(own.requestBody), resolve));
  }
  inside.append(element("h3", { text: "Answers" }),
    element("dl", { children: responseRows(own.responses, resolve) }));
  const details = folded("operation", own.operationId, [
    element("span", { className: `method ${method}`, text: method.toUpperCase() }),
    element("span", { className: "path", text: path }),
    element("span", { className: "what", text: own.summary }),
  ], [inside]);
  details.dataset.text = `${method} ${path} ${own.summary} ${own.operationId}`.toLowerCase();
  return details;
}

function folded(className, id, summary, children) {
  return element("details", { className, id, children: [element("summary", { children: summary }), ...children] });
}

function openapi(root) {
  const resolve = resolver(root);
  const all = Object.entries(root.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({ method, path, item })));
  const sections = root.tags.map((tag) => element("section", { children: [
    element("h2", { text: tag.name }),
    ...paragraphs(tag.description),
    ...all.filter(({ method, item }) => item[method].tags?.includes(tag.name))
      .map(({ method, path, item }) => operation(method, path, item, resolve)),
  ] }));
  return [
    element("section", { className: "card", children: [
      ...paragraphs(root.info.summary), ...paragraphs(root.info.description),
    ] }),
    ...sections,
    schemas("Schemas", root.components.schemas, resolve),
  ];
}

function schemas(title, named, resolve) {
  const rows = Object.entries(named).filter(([, schema]) => schema.properties);
  return element("section", { children: [
    element("h2", { text: title }),
    ...rows.map(([name, schema]) => folded("schema", `schema-${name}`,
      [element("span", { className: "path", text: name })],
      [element("div", { className: "inside", children: [
        ...paragraphs(schema.description), table(schema, resolve),
      ] })])),
  ] });
}

/** Frames of a WebSocket, by AsyncAPI 3. */
function asyncapi(root) {
  const resolve = resolver(root);
  const operations = Object.entries(root.operations ?? {});
  const frames = operations.flatMap(([id, one]) => {
    const messages = one.messages ?? Object.values(resolve(one.channel).messages ?? {});
    return messages.map((message) => frame(id, one.action, resolve(message), resolve));
  });
  return [element("section", { children: [
    element("h2", { text: root.info?.title ?? "Events" }), ...paragraphs(root.info?.description), ...frames,
  ] })];
}

function frame(id, action, message, resolve) {
  // The document is written from the server's side: what it receives is what a client sends.
  const who = action === "receive" ? "SEND" : "GET";
  const name = message.name ?? message.title ?? id;
  const details = folded("operation", "", [
    element("span", { className: "method", text: who }),
    element("span", { className: "path", text: name }),
    element("span", { className: "what", text: message.summary ?? "" }),
  ], [element("div", { className: "inside", children: [
    ...paragraphs(message.description), ...shown(message.payload ?? {}, resolve),
  ] })]);
  details.dataset.text = `${who} ${name} ${message.summary ?? ""}`.toLowerCase();
  return details;
}

/** The JSON at `path`; null when there is none. */
async function load(path) {
  const answer = await fetch(path);
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function filter(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const one of place.querySelectorAll("details.operation")) {
    one.hidden = !words.every((word) => one.dataset.text.includes(word));
    count += one.hidden ? 0 : 1;
  }
  state.textContent = `${count} operations`;
}

/** Opens what the address names. */
function open() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!(target instanceof HTMLDetailsElement)) return;
  target.hidden = false;
  target.open = true;
  target.scrollIntoView();
  target.querySelector("summary").focus({ preventScroll: true });
}

const text = document.querySelector("#text");
const all = document.querySelector("#all");
document.querySelector("#find").addEventListener("submit", (event) => event.preventDefault());
text.addEventListener("input", () => filter(text.value));
all.addEventListener("click", () => {
  const wanted = all.getAttribute("aria-pressed") !== "true";
  all.setAttribute("aria-pressed", String(wanted));
  all.textContent = wanted ? "Close all" : "Open all";
  for (const one of place.querySelectorAll("details")) one.open = wanted;
});
addEventListener("hashchange", open);

try {
  const [rest, events] = await Promise.all([load("/openapi.json"), load("/asyncapi.json")]);
  if (rest) place.append(...openapi(rest));
  if (events) place.append(...asyncapi(events));
  filter("");
  open();
} catch (error) {
  state.textContent = `The document could not be shown: ${error.message}`;
}
