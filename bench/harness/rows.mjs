// The rows of a section that takes long, kept one by one: a section that was interrupted goes on where it stopped. They are
// of one commit and one choice of settings, and go when the section is finished.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root } from "./subject.mjs";

const commit = () =>
  spawnSync("git", ["rev-parse", "HEAD"], { cwd: root, encoding: "utf8" }).stdout?.trim() ?? "";

export class Rows {
  #file;
  #settings;
  #rows = {};

  /** @param {string} folder the bench's @param {string} section @param {unknown} settings what the rows depend on */
  constructor(folder, section, settings) {
    this.#file = path.join(folder, "rows", `${section}.json`);
    this.#settings = JSON.stringify([commit(), process.env.ATEN_CPU_CAPABILITY ?? "", settings]);
    if (!existsSync(this.#file)) return;
    const kept = JSON.parse(readFileSync(this.#file, "utf8"));
    if (kept.settings === this.#settings) this.#rows = kept.rows;
  }

  /** The row of that name: as it was measured before, or as `measure` finds it now. */
  async row(name, measure) {
    if (this.#rows[name] === undefined) {
      this.#rows[name] = await measure();
      mkdirSync(path.dirname(this.#file), { recursive: true });
      const text = JSON.stringify({ settings: this.#settings, rows: this.#rows });
      writeFileSync(`${this.#file}.new`, text);
      renameSync(`${this.#file}.new`, this.#file);
    }
    return this.#rows[name];
  }

  /** Forgets the rows: the section is finished, or all are to be measured again. */
  clear() {
    this.#rows = {};
    rmSync(this.#file, { force: true });
  }
}
