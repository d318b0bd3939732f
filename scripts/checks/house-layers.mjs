// Which part of lib/ may import which, and which room of a part may import which. House rules as data: scripts/checks/house.mjs
// counts by them, test/house/imports.test.ts holds them. A new folder needs a place here.

const computing = ["torch", "nn", "models", "peft", "optim"];

/** What each part of lib/, a folder or a single file, may import beside itself, from the bottom to the top. */
export const parts = {
  errors: [],
  version: [],
  words: [],
  install: [],
  languages: [],
  files: ["errors"],
  torch: [],
  distributed: ["torch"],
  config: [],
  nn: ["torch"],
  optim: ["torch", "nn"],
  peft: ["torch", "nn"],
  models: ["torch", "nn"],
  hub: ["config"],
  data: ["config", ...computing],
  step: ["data", "torch", "nn", "models"],
  methods: ["config", "data", "step", ...computing], // data: what learns a vocabulary cuts text as the tokenizer does
  evaluate: ["data", "step", "torch", "models"],
  events: ["data", "hub", "evaluate"],
  trackers: ["install", "config", "torch", "events"],
  assembly: ["config", "data", "hub", "methods", "events", ...computing],
  inference: ["config", "data", "hub", "assembly", ...computing],
  train: [
    "config",
    "hub",
    "data",
    "step",
    "methods",
    "evaluate",
    "events",
    "assembly",
    "inference",
    "distributed",
    "trackers",
    ...computing,
  ],
  notebook: ["config", "evaluate", "events", "train"],
  init: ["config", "data", "train"],
  doctor: ["install", "config", "data", "events", "train", ...computing],
  cli: [
    "languages",
    "install",
    "init",
    "doctor",
    "config",
    "hub",
    "data",
    "evaluate",
    "events",
    "assembly",
    "inference",
    "train",
    "distributed",
    "torch",
    "models",
  ],
  public: ["distributed", "notebook", "data", "methods", ...computing],
  index: [
    "config",
    "hub",
    "data",
    "step",
    "methods",
    "evaluate",
    "events",
    "assembly",
    "inference",
    "train",
    "trackers",
    ...computing,
  ],
};

/** Parts that anyone above them may import. */
export const leaves = ["errors", "version", "words", "files"];

/**
 * The rooms and single files of a part, from the bottom to the top: each may import those before it. Of a part that is
 * not named here the files are one room, and only circles are forbidden.
 */
export const rooms = {
  config: [
    "secret",
    "home",
    "nearest",
    "key",
    "values",
    "keys",
    "schema",
    "syntax",
    "checked",
    "check",
    "rules",
    "describe",
    "recipe",
    "index",
  ],
  hub: [
    "names",
    "settings",
    "events",
    "globs",
    "data-files",
    "transfer",
    "huggingface",
    "modelscope",
    "cache",
    "select",
    "fetch",
    "models",
    "datasets",
    "index",
  ],
  data: [
    "random",
    "data-recipe",
    "readers",
    "datasets",
    "arrangement",
    "tokenizer",
    "blocks",
    "shortage",
    "token-cache",
    "intake",
    "training-data",
    "streaming",
    "tokenized-path",
    "prepare",
    "index",
  ],
  models: [
    "causal-model",
    "files",
    "parts",
    "family",
    "tied-head",
    "weights",
    "save-model",
    "families",
    "resize-vocabulary",
    "new-rows",
    "index",
  ],
  methods: ["training-method", "all-methods", "forgetting", "order", "parts", "vocabulary", "index"],
  train: [
    "strategy",
    "plan",
    "batches",
    "checkpoint",
    "output",
    "estimate",
    "methods",
    "loop",
    "setup",
    "before-after",
    "whole-run",
    "run",
    "worker",
    "train",
    "index",
  ],
  trackers: ["tracker", "tensorboard", "python", "table", "follow", "index"],
  cli: ["terminal", "commands", "dispatch", "main"],
};

/** The one circle there may be: the types around Tensor, whose methods are operators that take and give tensors. */
export const isTensorCircle = (circle) => circle.every((name) => name.startsWith("torch/"));

/** "train" of "train/run.ts", "errors" of "errors.ts". */
export const partOf = (name) => name.split("/")[0].replace(/\.ts$/, "");

/** "plan" of "train/plan/best.ts", "run" of "train/run.ts". */
export const roomOf = (name) => (name.split("/")[1] ?? "").replace(/\.ts$/, "");

/** Whether a file of lib/ may import another: "train/run.ts", "errors.ts". */
export function mayImport(from, to) {
  const [part, other] = [partOf(from), partOf(to)];
  if (part !== other) return leaves.includes(other) || (parts[part]?.includes(other) ?? false);
  const order = rooms[part];
  if (order === undefined || roomOf(from) === roomOf(to)) return true;
  const [place, otherPlace] = [order.indexOf(roomOf(from)), order.indexOf(roomOf(to))];
  return otherPlace >= 0 && otherPlace < place;
}
