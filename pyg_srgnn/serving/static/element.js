// Elements whose texts are texts: nothing that comes from outside is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** An HTML element with attributes, and texts or elements in it. */
export const html = (tag, attributes = {}, ...children) =>
  filled(document.createElement(tag), attributes, children);

/** The same for SVG. */
export const svg = (tag, attributes = {}, ...children) =>
  filled(document.createElementNS(SVG, tag), attributes, children);

/** A number as people read it: with a minus sign, and none before a zero. */
export const number = (value, digits = 3) =>
  value.toFixed(digits).replace(/^-(?=0\.?0*$)/, "").replace("-", "−");

/** A share of one in percent. */
export const percent = (share) => (share < 0.00005 ? "< 0.01 %" : `${number(100 * share, 2)} %`);

/** A factor, as precise as people read it. */
export const factor = (value) =>
  value < 0.005 ? "< ×0.01" : `×${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)}`;

/** Show an element with a text, or hide it where there is none. */
export function say(element, text) {
  element.textContent = text;
  element.hidden = text === "";
}
