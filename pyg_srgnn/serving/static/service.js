// Requests to the service. Ids keep all their digits where the browser shows what was written (see
// parse); a token is sent where one is asked for.

import { html } from "./element.js";

/** The service refuses the request. */
export class Refused extends Error {}

/** There is no answer, or none for now: worth another try. */
export class Unreachable extends Error {}

const PATIENCE = 20_000; // milliseconds
const KEPT = "srgnn-token";

// A browser that does not give a reviver the source of a value (before Chromium 114, Firefox 135, Safari
// 18.4) silently rounds whole numbers beyond 2^53: such ids then name other items.
const parse = (text) =>
  JSON.parse(text, (_, value, context) =>
    typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source)
      ? BigInt(context.source)
      : value,
  );

/** A value as JSON, whole numbers of any size among it: there are BigInts only where parse makes them. */
export const write = (value, indent) =>
  JSON.stringify(value, (_, part) => (typeof part === "bigint" ? JSON.rawJSON(String(part)) : part), indent);

/** What JSON says, or undefined if it is none. */
export function read(text) {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Ask the service: GET, or POST where there is a body.
 * Throws Refused, Unreachable, or an AbortError once the signal has been given.
 */
export async function ask(path, body, signal) {
  const answer = await exchange(path, body, signal);
  const text = await answer.text().catch((error) => failed(error, signal));
  const value = read(text);
  if (answer.ok && value !== undefined) return value;
  const why = typeof value?.detail === "string" ? value.detail : write(value?.detail ?? text);
  if (answer.status >= 500) throw new Unreachable(`it answers ${answer.status}`);
  throw new Refused(why.slice(0, 300) || `The service answers ${answer.status}.`);
}

/** Send a request, with the token if one is needed; returns the answer of any status. */
export async function exchange(path, body, signal, method = body === undefined ? "GET" : "POST") {
  for (;;) {
    const token = sessionStorage.getItem(KEPT);
    const answer = await send(path, method, body, signal, token);
    if (answer.status !== 401) return answer;
    if (sessionStorage.getItem(KEPT) === token) await newToken(token !== null);
  }
}

async function send(path, method, body, signal, token) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  const late = AbortSignal.timeout(PATIENCE);
  return fetch(path, {
    method,
    body: body === undefined ? undefined : write(body),
    headers,
    signal: signal ? AbortSignal.any([signal, late]) : late,
  }).catch((error) => failed(error, signal));
}

function failed(error, signal) {
  if (signal?.aborted) throw new DOMException("a newer request was made", "AbortError");
  throw new Unreachable(error.name === "TimeoutError" ? "it does not answer" : "no connection");
}

let asking = null; // the dialog's answer, which every request waits for

/** Ask for the token in a dialog; the one that was refused is not used again. */
function newToken(refused) {
  asking ??= new Promise((resolve, reject) => {
    const [dialog, text] = tokenDialog(refused);
    dialog.addEventListener("close", () => {
      asking = null;
      dialog.remove();
      if (dialog.returnValue !== "use") {
        return reject(new Refused("The service asks for a token: reload the page to give one."));
      }
      sessionStorage.setItem(KEPT, text.value);
      resolve();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}

/** The dialog, and the field in it. */
function tokenDialog(refused) {
  const text = html("input", { id: "token-text", type: "password", autocomplete: "off", required: "" });
  const form = html(
    "form",
    { method: "dialog" },
    html("h2", { id: "token-title" }, "This service asks for a token"),
    html("p", { class: "note" }, refused ? "The service does not accept the token that it was given." : ""),
    html("label", { for: "token-text" }, "Token"),
    text,
    html(
      "div",
      { class: "head" },
      html("button", { type: "submit", value: "use", class: "main" }, "Use it"),
      html("button", { type: "submit", value: "", formnovalidate: "" }, "Cancel"),
    ),
    html("p", { class: "note" }, "It is kept until this tab is closed."),
  );
  return [html("dialog", { "aria-labelledby": "token-title" }, form), text];
}
