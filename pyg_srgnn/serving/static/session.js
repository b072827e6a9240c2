// The session with its history, kept in the address.

import { read, write } from "./service.js";

/** Clicks with their types and settings, with an undo; kept in the address behind the #. */
export class Session {
  #past = [];

  constructor() {
    this.items = [];
    this.types = []; // of the clicks; null is the first type that the model knows
    this.k = 10;
    this.excludeSeen = false;
    this.where = {}; // a value by column, which items must have
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  /** Other clicks with their types, which undo takes back. */
  set(items, types) {
    this.#past.push([this.items, this.types]);
    [this.items, this.types] = [items, types];
  }

  undo() {
    if (this.canUndo) [this.items, this.types] = this.#past.pop();
  }

  /** What requests say of the clicks: their types, where one is not the first. */
  get clicks() {
    const { items, types } = this;
    return types.some((type) => type !== null) ? { items, types } : { items };
  }

  /** Take what an address holds. */
  open(hash) {
    const view = new URLSearchParams(hash.replace(/^#/, ""));
    const items = read(view.get("items") ?? "");
    const k = Number(view.get("k"));
    const isId = (id) => typeof id === "string" || typeof id === "bigint" || Number.isSafeInteger(id);
    if (Array.isArray(items) && items.every(isId)) this.items = items;
    const types = read(view.get("types") ?? "");
    const fits = Array.isArray(types) && types.length === this.items.length;
    const isType = (type) => type === null || typeof type === "string";
    this.types = fits && types.every(isType) ? types : this.items.map(() => null);
    if (Number.isInteger(k) && k >= 1) this.k = k;
    this.excludeSeen = view.get("exclude_seen") === "true";
    const where = read(view.get("where") ?? "");
    this.where = where !== null && typeof where === "object" && !Array.isArray(where) ? where : {};
  }

  /** The address's part behind the #. */
  get hash() {
    const items = encodeURIComponent(write(this.items)).replace(/%(5B|5D|2C)/g, decodeURIComponent);
    const typed = this.clicks.types ? `&types=${encodeURIComponent(write(this.types))}` : "";
    const filtered = Object.keys(this.where).length > 0;
    const where = filtered ? `&where=${encodeURIComponent(write(this.where))}` : "";
    return `#items=${items}${typed}&k=${this.k}${this.excludeSeen ? "&exclude_seen=true" : ""}${where}`;
  }
}
