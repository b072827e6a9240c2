// The clicks of the session, and the items recommended, as lists.

import { factor, html, number, percent } from "./element.js";
import { similarityMeter } from "./origins.js";

/**
 * The clicks, each with its attention and its effect on the first item of the list.
 * @param {HTMLElement} list
 * @param {{items: any[], types: (string | null)[], kinds: string[], why: object | null,
 *   known: (id) => boolean, label: (id) => string, named: (id) => boolean,
 *   remove: (at: number) => void, retype: (at: number, type: string | null) => void}} session
 *   kinds are the types to choose from, null the first one; why is the explanation of these items,
 *   or null while there is none
 */
export function showClicks(list, { items, types, kinds, why, known, label, named, remove, retype }) {
  const held = [...list.children].findIndex((row) => row.contains(document.activeElement));
  const control = document.activeElement?.tagName === "SELECT" ? "select" : "button";
  const [seen, rows] = [list.scrollTop, list.children.length];
  const atEnd = seen + list.clientHeight > list.scrollHeight - 4;
  let next = 0; // of the clicks explained: the known ones, by what the model knew when it answered
  list.replaceChildren(
    ...items.map((id, place) => {
      const isKnown = why === null ? known(id) : why.clicks[next] === id;
      const at = why !== null && isKnown ? next++ : -1;
      const what = { "aria-label": `Remove click ${place + 1}, ${label(id)}`, title: "Remove" };
      const button = html("button", { type: "button", ...what }, "×");
      button.addEventListener("click", () => remove(place));
      return html(
        "li",
        { class: isKnown ? "click" : "click unknown" },
        html("div", { class: "top" }, ordinal(place), names(id, label, named), typeOf(place, types, kinds, retype), button),
        isKnown ? null : html("p", { class: "note" }, "unknown to the model, left out"),
        at >= 0 && why.attention ? meter("attention", why.attention, at) : null,
        at >= 0 && why.added ? meter("adds", why.added, at, why.log_probabilities) : null,
        at >= 0 && why.origins[0].similarity ? similarityMeter() : null,
      );
    }),
  );
  list.scrollTop = items.length > rows || atEnd ? list.scrollHeight : seen; // to a click that is new
  if (held >= 0) list.children[Math.min(held, items.length - 1)]?.querySelector(control).focus();
}

/** A choice of a click's type, where the model knows several. */
function typeOf(place, types, kinds, retype) {
  if (kinds.length < 2) return null;
  const options = kinds.map((kind) => html("option", {}, kind));
  const select = html("select", { "aria-label": `Type of click ${place + 1}` }, ...options);
  select.selectedIndex = types[place] === null ? 0 : kinds.indexOf(types[place]);
  select.addEventListener("change", () => retype(place, select.selectedIndex > 0 ? select.value : null));
  return select;
}

/**
 * One value as a bar beside the largest of its kind, from the left or, with signs, the middle; what
 * a click adds to the logarithm of a probability is a factor on the probability. Null is a click
 * without which the item would not be recommended.
 */
function meter(name, values, at, logarithms = false) {
  const signed = name === "adds";
  const both = signed || values.some((value) => value < 0);
  const largest = Math.max(...values.map(Math.abs)) || 1;
  const only = values[at] === null;
  const share = only ? 100 : (100 * Math.abs(values[at])) / largest;
  const bar = html("i");
  bar.style.width = `${both ? share / 2 : share}%`;
  if (both) bar.style.left = values[at] < 0 ? `${50 - share / 2}%` : "50%";
  const sign = signed && values[at] >= 0.005 ? "+" : "";
  return html(
    "div",
    { class: `meter ${name}${both ? " signed" : ""}${values[at] < 0 ? " below" : ""}` },
    html("span", {}, logarithms ? "factor" : name),
    html("span", { class: "track", "aria-hidden": "true" }, bar),
    html("span", { class: "value" }, only ? "×∞" : logarithms ? factor(Math.exp(values[at])) : sign + number(values[at], 2)),
  );
}

const ordinal = (place) => html("span", { class: "place" }, String(place + 1));

function names(id, label, named, cold = false) {
  const box = html("span", { class: "names" }, html("b", {}, label(id)));
  if (named(id)) box.append(html("span", { class: "id" }, String(id)));
  if (cold) box.append(html("span", { class: "cold", title: "Nobody has clicked it in training" }, "new item"));
  return box;
}

/**
 * The recommended items. The rows stay, so that bars move and the focus stays where it is.
 * @param {HTMLElement} list
 * @param {{items: {id, score: number, cold?: boolean}[], popular: boolean, logarithms: boolean,
 *   before: Map<any, number> | null, label: (id) => string, named: (id) => boolean,
 *   pick: (id) => void}} answer  logarithms: whether the scores are those of probabilities; before
 *   has the places of the list before
 */
export function showBest(list, { items, popular, logarithms, before, label, named, pick }) {
  const value = (score) => (popular ? percent(score) : logarithms ? percent(Math.exp(score)) : number(score));
  list.classList.toggle("mixed", logarithms && !popular); // there will be bars of origin
  while (list.children.length > items.length) list.lastElementChild.remove();
  while (list.children.length < items.length) list.append(html("li", {}, html("button", { type: "button" })));
  items.forEach(({ id, score, cold }, place) => {
    const button = list.children[place].firstElementChild;
    const bar = button.querySelector("i") ?? html("i");
    // Of scores that a softmax was trained on, the difference is the ratio of the probabilities.
    const share = popular ? score / items[0].score : Math.exp(score - items[0].score);
    bar.style.width = `${Math.max(0.5, 100 * Math.min(1, share || 0))}%`;
    const [text, kind] = moved(before, id, place);
    button.replaceChildren(
      ordinal(place),
      names(id, label, named, cold),
      html("span", { class: `moved ${kind}` }, text),
      html("span", { class: "value" }, value(score)),
      html("span", { class: "track", "aria-hidden": "true" }, bar),
    );
    button.onclick = () => pick(id);
  });
}

function moved(before, id, place) {
  if (before === null) return ["", ""];
  const was = before.get(id);
  if (was === undefined) return ["new", "up"];
  if (was === place) return ["", ""];
  return was > place ? [`▲ ${was - place}`, "up"] : [`▼ ${place - was}`, "down"];
}
