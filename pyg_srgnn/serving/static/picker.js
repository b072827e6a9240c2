// The field in which one types an item: completions by keyboard and mouse (the ARIA combobox).

import { html } from "./element.js";
import { ask, read } from "./service.js";

const PAUSE = 60; // milliseconds without a key before the service is asked
const SHOWN = 8;

/**
 * Make the field complete items.
 * @param {HTMLInputElement} input
 * @param {HTMLElement} list
 * @param {(id) => void} picked  called with an id
 * @param {(items) => void} met  called with all items that were found
 * @param {(error) => void} failed
 */
export function makePicker(input, list, { picked, met, failed }) {
  let found = [];
  let active = -1;
  let turn = 0;
  let question = null; // the search for the current text; null once its result is shown
  let numbers = false; // whether the catalogue's ids are numbers

  async function search() {
    const mine = ++turn;
    question?.cancel.abort();
    if (input.value.trim() === "") return close();
    const cancel = new AbortController();
    const query = new URLSearchParams({ query: input.value, limit: SHOWN });
    const answer = pause(PAUSE, cancel.signal).then(() => ask(`items?${query}`, undefined, cancel.signal));
    question = { cancel, answer };
    try {
      const items = await answer;
      if (mine === turn) show(items);
    } catch (error) {
      if (error.name !== "AbortError") failed(error);
    }
  }

  function show(items) {
    question = null;
    found = items;
    know(items);
    list.replaceChildren(
      ...items.map((item, i) => {
        const name = html("b", {}, item.name ?? String(item.id));
        const option = html("li", { role: "option", id: `option-${i}` }, name);
        if (item.name !== null) option.append(html("span", { class: "id" }, String(item.id)));
        option.addEventListener("mousedown", (event) => event.preventDefault()); // keeps the focus
        option.addEventListener("click", () => pick(item.id));
        return option;
      }),
    );
    if (items.length === 0) {
      const none = "No item has this in its id or name. Enter adds it all the same.";
      list.append(html("li", { class: "none" }, none));
    }
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    activate(items.length > 0 ? 0 : -1);
  }

  function know(items) {
    if (items.length > 0) numbers = typeof items[0].id !== "string";
    met(items);
  }

  function activate(i) {
    active = i;
    list.querySelectorAll("[role=option]").forEach((option, at) => {
      option.setAttribute("aria-selected", String(at === i));
      if (at === i) option.scrollIntoView({ block: "nearest" });
    });
    if (i < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", `option-${i}`);
  }

  function close() {
    turn += 1;
    question?.cancel.abort();
    question = null;
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    activate(-1);
  }

  function pick(id) {
    input.value = "";
    close();
    picked(id);
  }

  async function enter() {
    const text = input.value.trim();
    if (text === "") return;
    if (question !== null) {
      // Enter came before the search finished: its first match is meant.
      try {
        const mine = turn;
        const items = await question.answer;
        if (mine !== turn) return;
        show(items);
      } catch {
        return;
      }
    }
    if (list.hidden) return search();
    if (active >= 0) return pick(found[active].id);
    const typed = numbers ? read(text) : text;
    pick(typeof typed === "bigint" || Number.isInteger(typed) ? typed : text);
  }

  input.addEventListener("input", search);
  input.addEventListener("focus", () => input.value.trim() !== "" && list.hidden && search());
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter") enter();
    else if (event.key === "Escape" && !list.hidden) close();
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (list.hidden) search();
      else if (found.length > 0) {
        const step = event.key === "ArrowDown" ? 1 : -1;
        activate((active + step + found.length) % found.length);
      }
    } else return;
    event.preventDefault();
  });

  return { know };
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("a newer request was made", "AbortError"));
    });
  });
}
