/** What a user or a web developer can mend; its message says what is wrong and what to do. */
export class LandmarkError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "LandmarkError";
  }
}
