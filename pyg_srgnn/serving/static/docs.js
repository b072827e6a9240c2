// Every endpoint as the OpenAPI description has it: parameters, answer, and a form to try it.

import { html, say } from "./element.js";
import { ask, exchange, read, write } from "./service.js";

const $ = (id) => document.getElementById(id);
const LIMITS = {
  ...{ minimum: "at least", maximum: "at most", exclusiveMaximum: "below", default: "by default" },
  ...{ maxItems: "entries: at most", minLength: "characters: at least", maxLength: "characters: at most" },
};
let schemas = {};
let popular = 1; // an item's id, for examples

const resolved = (schema) => (schema.$ref ? schemas[schema.$ref.split("/").at(-1)] : schema);

/** What a value looks like: {"items": [{"id": integer | string, "score": number}]}. */
function shape(schema, indent = "") {
  const { type, anyOf, properties, items, prefixItems } = resolved(schema ?? {});
  if (anyOf) return anyOf.map((one) => shape(one, indent)).join(" | ");
  if (prefixItems) return `[${prefixItems.map((one) => shape(one, indent)).join(", ")}]`;
  if (type === "array") return `[${shape(items, indent)}, …]`;
  if (!properties) return type ?? "any";
  const inner = `${indent}  `;
  const lines = Object.entries(properties).map(([name, one]) => `${inner}"${name}": ${shape(one, inner)}`);
  return `{\n${lines.join(",\n")}\n${indent}}`;
}

/** A value that a schema allows. */
function example(schema) {
  const { type, anyOf, properties, items, examples, default: usual } = resolved(schema);
  if (examples) return examples[0];
  if (usual !== undefined) return usual;
  if (anyOf) return anyOf.some((one) => one.type === "null") ? null : popular; // an item's id
  if (type === "array") return [example(items)];
  if (!properties) return type === "string" ? "" : 1;
  return Object.fromEntries(Object.entries(properties).map(([name, one]) => [name, example(one)]));
}

function limits(schema) {
  const parts = [schema, ...(schema.anyOf ?? [])];
  const found = parts.flatMap((part) =>
    Object.entries(LIMITS)
      .filter(([key]) => part[key] !== undefined)
      .map(([key, words]) => `${words} ${write(part[key])}`),
  );
  return [schema.description, ...found].filter(Boolean).join("; ");
}

const row = (...cells) => html("tr", {}, ...cells.map((cell) => html("td", {}, cell)));
const table = (rows) => (rows.length ? html("table", {}, html("tbody", {}, ...rows)) : null);
const title = (text, shown = true) => (shown ? html("h3", {}, text) : null);

/** An endpoint, folded until it is opened. */
function endpoint(path, method, { description = "", parameters = [], requestBody, responses }) {
  const fields = parameters.map((one) => [one, html("input", { type: "text", "aria-label": one.name, value: one.schema.default ?? (one.in === "path" ? "abc" : "") })]);
  const body = requestBody?.content["application/json"].schema;
  const text = body ? html("textarea", { rows: 4, "aria-label": "Body", spellcheck: "false" }, write(example(body))) : null;
  const answer = html("div", { "aria-live": "polite" });
  const properties = Object.entries(body ? (resolved(body).properties ?? {}) : {});
  const whole = responses["200"]?.content?.["application/json"]?.schema;
  const form = html(
    "form",
    {},
    title("Parameters", fields.length > 0),
    table(fields.map(([one, input]) => row(html("code", {}, one.name), input, limits(one.schema)))),
    title("Body", body),
    table(properties.map(([name, one]) => row(html("code", {}, name), html("code", {}, shape(one)), limits(one)))),
    text,
    html("button", { type: "submit", class: "main" }, "Send"),
    answer,
    title("Answer", whole),
    whole ? html("pre", {}, shape(whole)) : null,
    title("Refusals"),
    table(Object.entries(responses).filter(([status]) => status >= "400").map(([status, one]) => row(html("code", {}, status), one.description))),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    let asked = path;
    const query = new URLSearchParams();
    for (const [one, input] of fields) {
      if (one.in === "path") asked = asked.replace(`{${one.name}}`, encodeURIComponent(input.value));
      else if (input.value) query.set(one.name, input.value);
    }
    if (query.size) asked += `?${query}`;
    answer.replaceChildren(...(await tried(asked, method, text?.value)));
  });
  const [first] = description.split("\n");
  const name = html("b", {}, html("code", {}, path));
  const summary = html("summary", {}, html("code", { class: "method" }, method.toUpperCase()), name, html("span", {}, first));
  return html("details", {}, summary, form);
}

/** The request as a command, and the answer of the service. */
async function tried(path, method, text) {
  const body = text === undefined ? undefined : read(text);
  if (text !== undefined && body === undefined) return [html("p", { class: "note" }, "This body is not JSON.")];
  const url = new URL(path.slice(1), document.baseURI);
  const data = body === undefined ? "" : ` -H 'Content-Type: application/json' -d '${write(body).replaceAll("'", "'\\''")}'`;
  const command = html("pre", {}, `curl -X ${method.toUpperCase()} '${url}'${data}`);
  try {
    const answer = await exchange(path.slice(1), body, undefined, method.toUpperCase());
    const found = await answer.text();
    const value = read(found);
    return [command, title(String(answer.status)), html("pre", {}, value === undefined ? found : write(value, 2))];
  } catch (error) {
    return [command, html("p", { class: "note" }, error.message)];
  }
}

try {
  const { info, paths, components } = await ask("openapi.json");
  schemas = components?.schemas ?? {};
  popular = (await ask("items?limit=1").catch(() => []))[0]?.id ?? popular;
  document.title = `${info.title}: endpoints`;
  $("about").textContent = info.description;
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, one] of Object.entries(methods)) $("endpoints").append(endpoint(path, method, one));
  }
} catch (error) {
  say($("trouble"), `The description of the service cannot be shown: ${error.message}`);
}
