// Where a model's weights are not all in memory: what is asked before and after each of its parts computes. Whoever takes a
// model's weights away (the strategy of a run of several processes) says how they come back; whoever computes with a
// model asks here, and knows no more.
import type { CausalModel } from "../models/causal-model.js";

/** A part of a model: a block by its number, or what is before and behind them. */
export type Part = number | "embedding" | "head";
/** Backward is whatever ends with a part's gradients, computing it again included. */
export type Direction = "forward" | "backward";

/** How a model's weights come and go. */
export interface Passage {
  /** Before a part computes: afterwards its weights are there. */
  enter(part: Part, direction: Direction): void;
  /** A part has computed; backward, its parameters' gradients are complete. */
  leave(part: Part, direction: Direction): void;
  /** A pass through the model has ended. */
  end(): void;
}

/** Of a model that is all in memory. */
const open: Passage = { enter() {}, leave() {}, end() {} };

const passages = new WeakMap<CausalModel, Passage>();

/** From now on a model's parts are entered by `passage`. */
export function setPassage(model: CausalModel, passage: Passage): void {
  passages.set(model, passage);
}

/** How a model's parts are entered. */
export function passageOf(model: CausalModel): Passage {
  return passages.get(model) ?? open;
}

/** Whether a model's weights come and go: no pass through it may be ended half-way. */
export function isDivided(model: CausalModel): boolean {
  return passages.has(model);
}

/** A passage that tells, beside what it does, which parts' gradients are complete: once each, from the head down. */
export function telling(passage: Passage, complete: (part: Part) => void): Passage {
  return {
    enter: (part, direction) => passage.enter(part, direction),
    leave(part, direction) {
      passage.leave(part, direction);
      if (direction === "backward") complete(part);
    },
    end: () => passage.end(),
  };
}

/** Computes a part forward, with its weights there. */
export function inPart<T>(passage: Passage, part: Part, body: () => T): T {
  passage.enter(part, "forward");
  const result = body();
  passage.leave(part, "forward");
  return result;
}
