// Where the probability of each recommended item comes from, and how similar the clicks' texts are.

import { html, number } from "./element.js";

// What each part of the model's mixture is called, and what it recommends; others have their own name.
const PARTS = {
  repeat: ["repeat", "items of the session, clicked again"],
  transitions: ["transitions", "items that followed the last clicks in training"],
  similar: ["similar", "items that were clicked in the same sessions as the last ones in training"],
  model: ["ids", "what the model’s vectors of items say"],
  text_expert: ["texts", "what a second reading of the session, by texts alone, says"],
  text_neighbours: ["near texts", "items whose texts are near to those of the last clicks"],
};
const KINDS = Object.keys(PARTS);
const called = (part) => PARTS[part]?.[0] ?? part;
const kind = (part) => (part in PARTS ? part : "other");
const place = (part) => (part in PARTS ? KINDS.indexOf(part) : KINDS.length);
const whole = (share) => `${Math.round(100 * share)} %`;
const ordered = (shares) => Object.entries(shares).sort(([one], [other]) => place(one) - place(other));

/**
 * A bar in each row of the list, and a legend below.
 * @param {HTMLElement} list
 * @param {HTMLElement} legend
 * @param {{shares: object | null}[]} origins  of the first rows
 */
export function showOrigins(list, legend, origins) {
  [...list.children].forEach((row, at) => {
    const button = row.firstElementChild;
    button.querySelector(".origin")?.remove();
    const shares = origins[at]?.shares ?? null;
    if (shares !== null) button.append(bar(shares));
  });
  const found = origins.find(({ shares }) => shares !== null)?.shares ?? {};
  legend.replaceChildren(
    ...ordered(found).map(([part]) =>
      html("li", { title: PARTS[part]?.[1] }, html("span", { class: `part ${kind(part)}` }), called(part)),
    ),
  );
  legend.hidden = legend.children.length === 0;
}

function bar(shares) {
  const told = ordered(shares).filter(([, share]) => share >= 0.005);
  const text = told.map(([part, share]) => `${called(part)} ${whole(share)}`).join(", ");
  const parts = ordered(shares).map(([part, share]) => {
    const piece = html("span", { class: `part ${kind(part)}` });
    piece.style.width = `${100 * share}%`;
    return piece;
  });
  return html("span", { class: "origin", role: "img", "aria-label": `Comes from ${text}`, title: text }, ...parts);
}

/**
 * The similarity of the text of each click to that of an item.
 * @param {HTMLElement} list  the clicks
 * @param {(number | null)[]} similarity  of the clicks that the model knows
 */
export function showSimilarity(list, similarity) {
  list.querySelectorAll(".meter.text").forEach((meter, at) => {
    const cosine = similarity[at] ?? null;
    const share = Math.abs(cosine ?? 0) * 50;
    meter.classList.toggle("below", cosine < 0);
    const bar = meter.querySelector("i");
    bar.style.width = `${share}%`;
    bar.style.left = cosine < 0 ? `${50 - share}%` : "50%";
    meter.querySelector(".value").textContent = cosine === null ? "–" : number(cosine, 2);
  });
}

/** The empty meter that showSimilarity fills. */
export const similarityMeter = () =>
  html(
    "div",
    { class: "meter text signed" },
    html("span", {}, "text"),
    html("span", { class: "track", "aria-hidden": "true" }, html("i")),
    html("span", { class: "value" }),
  );
