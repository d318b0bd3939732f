// trainer_state.json against files that transformers 5.6 wrote (test/fixtures/output, made by make.py).
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../../../lib/errors.js";
import {
  parsePythonJson,
  pythonFloat,
  pythonJson,
  pythonRound,
  pythonTimedelta,
} from "../../../lib/files/python-json.js";
import {
  controlState,
  formatTrainerState,
  loadTrainerState,
  newTrainerState,
  parseTrainerState,
  saveTrainerState,
} from "../../../lib/train/checkpoint/trainer-state.js";

const fixture = (name: string) =>
  readFileSync(new URL(`../../fixtures/output/${name}`, import.meta.url), "utf8");
const numbers = JSON.parse(fixture("numbers.json"));
const doubleOf = (bits: string) => Buffer.from(bits, "hex").readDoubleBE(0);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "qwen-pt-state-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("Python's way of writing", () => {
  it.each(numbers.floats as { bits: string; text: string }[])("float $text", ({ bits, text }) => {
    expect(pythonFloat(doubleOf(bits))).toBe(text);
    expect(parsePythonJson(text)).toBe(doubleOf(bits));
  });

  it.each(numbers.strings as { value: string; text: string }[])("string $text", ({ value, text }) => {
    expect(pythonJson(value)).toBe(text);
  });

  it.each(numbers.spans as { seconds: number; text: string }[])("timedelta $text", ({ seconds, text }) => {
    expect(pythonTimedelta(seconds)).toBe(text);
  });

  it.each(numbers.rounds as { value: number; digits: number; result: number }[])(
    "round($value, $digits) is $result",
    ({ value, digits, result }) => expect(pythonRound(value, digits)).toBe(result),
  );

  it("empty containers and one-line separators", () => {
    const value = { b: [], a: {}, c: [1, true, null], d: undefined };
    expect(pythonJson(value)).toBe('{"b": [], "a": {}, "c": [1.0, true, null]}');
    expect(pythonJson({ step: 3, loss: 3 }, { integers: new Set(["step"]) })).toBe(
      '{"step": 3, "loss": 3.0}',
    );
  });

  it("reads NaN and Infinity, but not inside strings", () => {
    expect(parsePythonJson('{"a": NaN, "b": [-Infinity, Infinity], "c": "NaN \\" -Infinity"}')).toEqual({
      a: Number.NaN,
      b: [-Infinity, Infinity],
      c: 'NaN " -Infinity',
    });
  });
});

describe("trainer_state.json", () => {
  it.each([
    "lora/trainer_state.json",
    "lora/checkpoint_state.json",
    "full/trainer_state.json",
    "full/checkpoint_state.json",
  ])("reads and writes %s byte for byte", (name) => {
    const text = fixture(name);
    expect(formatTrainerState(parseTrainerState(text, name))).toBe(text);
  });

  it("a state built from values equals transformers' file", () => {
    const reference = fixture("full/trainer_state.json");
    const state = newTrainerState({
      epoch: 0.16,
      global_step: 4,
      max_steps: 4,
      num_train_epochs: 1,
      logging_steps: 1,
      save_steps: 500,
      train_batch_size: 1,
      total_flos: 11943936,
      log_history: parseTrainerState(reference, "").log_history,
      stateful_callbacks: controlState({ should_save: true, should_training_stop: true }),
    });
    expect(formatTrainerState(state)).toBe(reference);
  });

  it("survives a NaN loss", () => {
    const file = path.join(folder, "trainer_state.json");
    saveTrainerState(newTrainerState({ log_history: [{ loss: Number.NaN, step: 1, epoch: 1 }] }), file);
    expect(readFileSync(file, "utf8")).toContain('"loss": NaN,');
    expect(loadTrainerState(file).log_history[0]?.loss).toBeNaN();
  });

  it("leaves no temporary file behind", () => {
    saveTrainerState(newTrainerState(), path.join(folder, "trainer_state.json"));
    expect(readdirSync(folder)).toEqual(["trainer_state.json"]);
  });

  it("an impossible write names the file and leaves nothing", () => {
    mkdirSync(path.join(folder, "trainer_state.json"));
    const write = () => saveTrainerState(newTrainerState(), path.join(folder, "trainer_state.json"));
    expect(write).toThrow(UserError);
    expect(write).toThrow(/trainer_state\.json: .*folder/);
    expect(readdirSync(folder)).toEqual(["trainer_state.json"]);
  });

  it.each([
    ["", /:1: malformed JSON \(it ends in the middle/],
    ["[]", /: an object is needed, not \[\]; resume/],
    ["{}", /: global_step: is missing;/],
    ['{"global_step": "4"}', /global_step: a whole number from 0 is needed, not "4"/],
    ['{"global_step": 1.5}', /global_step: a whole number from 0 is needed, not 1\.5/],
    ['{"global_step": 4, "log_history": {}}', /log_history: a list is needed, not \{\}/],
    [
      '{"global_step": 4, "max_steps": 9, "log_history": [{"step": 1}, null]}',
      /log_history\[1\]: an object is needed, not null/,
    ],
    ['{"global_step": 1000000000, "max_steps": 9}', /global_step 1000000000 is beyond max_steps 9/],
  ])("refuses %s in one line", (text, message) => {
    const file = path.join(folder, "trainer_state.json");
    writeFileSync(file, text);
    let error: unknown;
    try {
      loadTrainerState(file);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toContain(file);
    expect((error as Error).message).not.toContain("\n");
  });

  it("refuses a missing file", () => {
    expect(() => loadTrainerState(path.join(folder, "none.json"))).toThrow(/cannot read .*none\.json/);
  });
});
