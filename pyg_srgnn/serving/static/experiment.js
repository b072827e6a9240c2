// An A/B test of the service: the key of this session, by which its model is chosen.

import { ask } from "./service.js";

/** The test, if there is one, and the session's key in it. */
export class Experiment {
  #share; // undefined until the service has said it; null where one model answers all
  #key = null;

  /** Ask the service once whether another model answers some sessions. */
  async begin(signal) {
    if (this.#share !== undefined) return;
    ({ share: this.#share } = await ask("experiment", undefined, signal));
    this.renew();
  }

  /** Begin another session. */
  renew() {
    const bytes = crypto.getRandomValues(new Uint8Array(8));
    this.#key = `page-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  }

  /** What requests say of the session; nothing where one model answers all. */
  get key() {
    return typeof this.#share === "number" ? { session: this.#key } : {};
  }

  /** Which model has answered, in words; empty where there is one. */
  words(model) {
    if (typeof this.#share !== "number" || model === undefined) return "";
    const percent = `${+(100 * this.#share).toFixed(2)} %`;
    return `A/B test: model ${model} answers this session. B, the challenger, gets ${percent} of the sessions.`;
  }
}
