// The page: requests recommendations whenever the session changes, and draws them.

import { say } from "./element.js";
import { showFilters } from "./filters.js";
import { drawGraph } from "./graph.js";
import { showBest, showClicks } from "./lists.js";
import { showOrigins, showSimilarity } from "./origins.js";
import { makePicker } from "./picker.js";
import { Experiment } from "./experiment.js";
import { ask, Refused, Unreachable, write } from "./service.js";
import { Session } from "./session.js";

const EXPLAINED = 200; // clicks: the service does not explain longer sessions
const NAMED = 1000; // items that the service names at once
const OTHERS = 100; // items, beside the explained one, whose origin the service tells
const $ = (id) => document.getElementById(id);
const session = new Session();
const experiment = new Experiment();
const met = new Map(); // items by id: their name, and whether the model knows them
let turn = 0; // number of the latest request: answers to earlier ones are not shown
let cancel = new AbortController();
let again = null; // the timer of the next try
let tries = 0;
let places = null; // of the items in the list before
let drawn = null; // the graph, and the keys of its edges
let shown = null; // the explanation that is shown
let columns = []; // of the items' attributes
let kinds = []; // types of clicks that the model knows

const label = (id) => met.get(id)?.name ?? String(id);
const named = (id) => (met.get(id)?.name ?? null) !== null;
const known = (id) => met.get(id)?.known ?? true;
const learn = (items) => items.forEach((item) => met.set(item.id, item));

/** Ask for recommendations and their explanation, and show both unless the session has moved on. */
async function update() {
  const mine = ++turn;
  cancel.abort();
  cancel = new AbortController();
  clearTimeout(again);
  const { signal } = cancel;
  const { items, clicks, k, excludeSeen, where } = session;
  history.replaceState(null, "", session.hash);
  showSession(null);
  $("next").setAttribute("aria-busy", "true");
  $("picture").setAttribute("aria-busy", "true");
  try {
    await experiment.begin(signal);
    const answer = await ask("recommend", { ...clicks, k, exclude_seen: excludeSeen, where, ...experiment.key }, signal);
    const ids = [...new Set([...items, ...answer.items.map((item) => item.id)])];
    const strangers = ids.filter((id) => !met.has(id));
    // If another model has been loaded, ask which items it knows.
    const changed = items.filter((id) => met.has(id) && !known(id)).length !== answer.unknown;
    const asked = changed ? [...new Set([...strangers, ...items])] : strangers;
    if (asked.length > 0) learn(await ask("items", { ids: asked.slice(0, NAMED) }, signal));
    if (mine !== turn) return;
    showSession(null);
    showAnswer(answer);
    const best = answer.items[0]?.id;
    const others = answer.items.slice(1, 1 + OTHERS).map((item) => item.id);
    const nothing = answer.popular || best === undefined;
    const long = items.length > EXPLAINED;
    const why = nothing || long ? null : await ask("explain", { ...clicks, item: best, others, ...experiment.key }, signal);
    if (mine !== turn) return;
    showWhy(why);
    if (long && !nothing) say($("measures"), `Only sessions of up to ${EXPLAINED} clicks are explained.`);
    tries = 0;
    say($("trouble"), "");
  } catch (error) {
    if (mine === turn) failed(error);
  }
}

function failed(error) {
  if (error.name === "AbortError") return;
  if (error instanceof Refused) {
    $("next").setAttribute("aria-busy", "false");
    showWhy(null);
    return say($("trouble"), error.message);
  }
  if (!(error instanceof Unreachable)) {
    // An error of the page: another try would fail as well.
    console.error(error);
    for (const id of ["next", "picture"]) $(id).setAttribute("aria-busy", "false");
    return say($("trouble"), `This page has an error (${error.message}).`);
  }
  say($("trouble"), `The service cannot be reached (${error.message}). Trying again …`);
  clearTimeout(again);
  again = setTimeout(update, Math.min(10_000, 500 * 2 ** tries++));
}

function drawClicks(why) {
  const { items, types } = session;
  showClicks($("clicks"), { items, types, kinds, why, known, label, named, remove, retype });
}

function showSession(why) {
  drawClicks(why);
  $("empty").hidden = session.items.length > 0;
  $("undo").disabled = !session.canUndo;
  $("clear").disabled = session.items.length === 0;
  shown = why;
  compare(0);
}

/** Show how similar the texts of the clicks are to that of a recommended item, by its place. */
function compare(place) {
  const compared = shown?.origins[place] ?? shown?.origins[0];
  if (compared?.similarity) showSimilarity($("clicks"), compared.similarity);
  say($("measures"), shown === null ? "" : measures(shown, compared));
}

/** Explains the numbers of the clicks. */
function measures({ attention, added, item, log_probabilities }, compared) {
  const notes = [];
  if (attention) notes.push("“attention” is the weight of the click in the model’s vector of the session; a negative weight subtracts it.");
  if (added && log_probabilities) notes.push(`“factor” is the factor by which this click changes the probability of ${label(item)}.`);
  else if (added) notes.push(`“adds” is how much this click adds to the score of ${label(item)}.`);
  if (compared.similarity) notes.push(`“text” is the similarity of the click’s text to that of ${label(compared.item)}: 1 is the same.`);
  return notes.join(" ");
}

function showAnswer(answer) {
  const { items, unknown, popular, log_probabilities: logarithms } = answer;
  showBest($("best"), { items, popular, logarithms, before: places, label, named, pick: add });
  let meaning = "This model gives scores, not probabilities: they compare the items of this list alone.";
  if (logarithms) meaning = "A percentage is the probability that the item comes next; the colours say what it is made of.";
  if (popular) meaning = "A percentage is the share of the item in all clicks.";
  say($("experiment"), experiment.words(answer.model));
  say($("meaning"), items.length > 0 ? meaning : "");
  places = new Map(items.map((item, place) => [item.id, place]));
  $("next").setAttribute("aria-busy", "false");
  const clicks = session.items.length;
  const left = unknown === 1 ? "One click is on an item" : `${unknown} clicks are on items`;
  let remark = unknown > 0 ? `${left} unknown to the model, and left out.` : "";
  if (popular && clicks === 0) remark = "The most popular items: pick one to begin.";
  else if (popular) remark = "No item of the session is known to the model: these are the most popular ones.";
  const filtered = Object.keys(session.where).length > 0;
  if (items.length === 0) remark = filtered ? "No item has all that is chosen above." : "There is nothing left to recommend.";
  say($("remark"), remark);
  const first = items.slice(0, 3).map((item, place) => `${place + 1}. ${label(item.id)}`);
  $("said").textContent = `After ${clicks} ${clicks === 1 ? "click" : "clicks"}: ${first.join(", ")}. ${remark}`;
}

function showWhy(why) {
  const explained = new Set(why?.clicks);
  if (why !== null) learn(session.items.map((id) => ({ id, name: null, ...met.get(id), known: explained.has(id) })));
  showSession(why);
  showOrigins($("best"), $("legend"), why?.origins ?? []);
  $("picture").hidden = why === null;
  $("picture").setAttribute("aria-busy", "false");
  if (why === null) {
    drawn = null;
    return;
  }
  const graph = {
    labels: why.nodes.map(label),
    firsts: why.nodes.map((id) => session.items.indexOf(id) + 1),
    last: why.nodes.indexOf(why.clicks.at(-1)),
    edges: why.edges,
    weights: why.weights,
    weightsIn: why.weights_in,
    keys: why.edges.map(([i, j]) => write([why.nodes[i], why.nodes[j]])),
  };
  drawGraph($("graph"), graph, new Set(drawn?.keys));
  drawn = graph;
}

function change(items, types) {
  session.set(items, types);
  update();
}

const add = (id) => change([...session.items, id], [...session.types, null]);
const retype = (place, type) => change(session.items, session.types.with(place, type));
const last = () => session.items.length > 0 && remove(session.items.length - 1);

function remove(place) {
  const others = (_, at) => at !== place;
  change(session.items.filter(others), session.types.filter(others));
  if (session.items.length === 0) $("query").focus();
}

function undo() {
  session.undo();
  update();
}

function readAddress() {
  session.open(location.hash);
  $("k").value = session.k;
  $("exclude-seen").checked = session.excludeSeen;
  offerFilters();
  update();
}

/** Offer the values that the items' attributes have by now. */
function offerFilters() {
  showFilters($("filters"), columns, session.where, (column, value) => {
    const { [column]: _, ...others } = session.where;
    session.where = value === undefined ? others : { ...others, [column]: value };
    update();
  });
}

const picker = makePicker($("query"), $("options"), { picked: add, met: learn, failed });
$("query").addEventListener("keydown", (event) => {
  if (event.key === "Backspace" && event.target.value === "" && !event.repeat) last();
});
$("undo").addEventListener("click", undo);
$("clear").addEventListener("click", () => {
  experiment.renew(); // other clicks are another session
  change([], []);
  $("query").focus();
});
$("k").addEventListener("change", ({ target }) => {
  if (!target.reportValidity()) return;
  session.k = target.valueAsNumber;
  update();
});
for (const event of ["pointerover", "focusin"]) {
  $("best").addEventListener(event, ({ target }) => compare([...$("best").children].indexOf(target.closest("li"))));
}
$("exclude-seen").addEventListener("change", ({ target }) => {
  session.excludeSeen = target.checked;
  update();
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input[type=text]") && event.target.value !== "";
  if (event.key === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !typing) {
    event.preventDefault();
    undo();
  }
});
addEventListener("hashchange", readAddress);
addEventListener("online", update);
let width = 0;
new ResizeObserver(([{ contentRect }]) => {
  if (drawn !== null && Math.round(contentRect.width) !== width) drawGraph($("graph"), drawn, new Set(drawn.keys));
  width = Math.round(contentRect.width);
}).observe($("graph"));

readAddress();
ask("items?limit=8").then(picker.know).catch(failed);
ask("types")
  .then((answer) => {
    kinds = answer;
    drawClicks(shown); // what is said of the session stays
    if (shown !== null) compare(0);
  })
  .catch(failed);
ask("items/attributes")
  .then((answer) => {
    columns = answer.columns;
    offerFilters();
  })
  .catch(failed);
