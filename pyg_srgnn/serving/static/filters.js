// Filters of the items recommended, by the columns of their attributes.

import { html } from "./element.js";

const MOST = 4; // columns

/**
 * Shows a choice for every column that has few values.
 * @param {HTMLElement} place
 * @param {{name: string, values: any[] | null}[]} columns  of the items' attributes
 * @param {object} where  the values chosen, by column
 * @param {(column: string, value: any) => void} choose  undefined is any value
 */
export function showFilters(place, columns, where, choose) {
  const offered = columns.filter(({ values }) => values?.length > 1).slice(0, MOST);
  place.replaceChildren(...offered.map(({ name, values }) => choice(name, values, where[name], choose)));
  place.hidden = offered.length === 0;
}

function choice(name, values, chosen, choose) {
  const options = values.map((value) => html("option", {}, named(value)));
  const select = html("select", {}, html("option", {}, "any"), ...options);
  select.selectedIndex = 1 + values.indexOf(chosen);
  select.addEventListener("change", () => choose(name, values[select.selectedIndex - 1]));
  return html("label", {}, `${name} `, select);
}

const named = (value) => (typeof value === "boolean" ? (value ? "yes" : "no") : String(value));
