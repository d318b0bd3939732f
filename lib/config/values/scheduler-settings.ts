// lr_scheduler_kwargs: which settings each schedule takes, and that their values fit. What they do is lib/optim's.
import { custom, Mismatch } from "../key.js";

type Check = readonly [fits: (value: unknown) => boolean, expected: string];

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
const NUMBER: Check = [isNumber, "a number"];
const RATE: Check = [(value) => isNumber(value) && value >= 0, "a number, at least 0"];
const STEPS: Check = [
  (value) => Number.isSafeInteger(value) && (value as number) >= 0,
  "an integer, at least 0",
];
const ABOVE: Check = [(value) => isNumber(value) && value > 0, "a number above 0"];
const FLAG: Check = [(value) => typeof value === "boolean", "true or false"];
const words = (...choices: string[]): Check => [
  (value) => choices.includes(value as string),
  `one of ${choices.join(", ")}`,
];
const SHAPE = words("linear", "cosine", "1-sqrt");

const LOWEST = { min_lr: RATE, min_lr_rate: RATE, num_cycles: NUMBER };
const PLATEAU = {
  mode: words("min", "max"),
  factor: [(value) => isNumber(value) && value > 0 && value < 1, "a number above 0 and below 1"] as Check,
  patience: STEPS,
  threshold: RATE,
  threshold_mode: words("rel", "abs"),
  cooldown: STEPS,
  min_lr: RATE,
  eps: RATE,
};

const SETTINGS: Readonly<Record<string, Readonly<Record<string, Check>>>> = {
  linear: {},
  cosine: { num_cycles: NUMBER },
  cosine_with_restarts: { num_cycles: ABOVE },
  polynomial: { lr_end: RATE, power: NUMBER },
  inverse_sqrt: { timescale: ABOVE },
  reduce_lr_on_plateau: PLATEAU,
  cosine_with_min_lr: LOWEST,
  cosine_warmup_with_min_lr: { ...LOWEST, warmup_lr_rate: RATE },
  warmup_stable_decay: {
    num_stable_steps: STEPS,
    num_decay_steps: STEPS,
    warmup_type: SHAPE,
    decay_type: SHAPE,
    min_lr_ratio: RATE,
    num_cycles: NUMBER,
  },
  greedy: {
    ...PLATEAU,
    warmup: STEPS,
    max_lr: RATE,
    smooth: FLAG,
    window_size: STEPS,
    reset_start: STEPS,
    verbose: FLAG,
  },
};

/** A mapping, or its JSON as text. What is in it is checked against the schedule by {@link checkSettings}. */
export const schedulerSettings = custom<
  Readonly<Record<string, unknown>> | null,
  Readonly<Record<string, unknown>> | string
>({
  default: null,
  type: "a mapping",
  wantsText: true,
  json: { type: ["object", "string"] },
  doc: "Settings of the schedule, by transformers' names, such as num_cycles, min_lr, power or num_decay_steps.",
  read(value) {
    let found = value;
    if (typeof value === "string") {
      try {
        found = JSON.parse(value);
      } catch {
        throw new Mismatch("a mapping");
      }
    }
    if (typeof found !== "object" || found === null || Array.isArray(found)) throw new Mismatch("a mapping");
    // as in transformers, null is a setting's default
    return Object.fromEntries(Object.entries(found).filter(([, setting]) => setting !== null));
  },
});

/** Why a schedule's settings do not fit, as the end of a message; undefined where they do. */
export function checkSettings(
  schedule: string,
  settings: Readonly<Record<string, unknown>>,
  learningRate: number,
): string | undefined {
  const known = SETTINGS[schedule];
  if (known === undefined) return undefined; // constant, constant_with_warmup: read by neither
  for (const [name, value] of Object.entries(settings)) {
    const check = known[name];
    const names = Object.keys(known).join(", ");
    if (check === undefined)
      return `${schedule} has no setting ${name}; ${names === "" ? "it has none" : `choose from ${names}`}`;
    const [fits, expected] = check;
    if (!fits(value)) return `${name}: expected ${expected}, received ${JSON.stringify(value)}`;
  }
  if (schedule.includes("min_lr")) {
    const given = ["min_lr", "min_lr_rate"].filter((name) => name in settings);
    if (given.length !== 1)
      return `${schedule} needs min_lr (a rate) or min_lr_rate (a share of learning_rate), ${given.length === 0 ? "and has neither" : "not both"}`;
  }
  if (schedule === "polynomial" && !(learningRate > ((settings["lr_end"] as number | undefined) ?? 1e-7)))
    return `polynomial: lr_end (${settings["lr_end"] ?? 1e-7}) must be below learning_rate (${learningRate})`;
  return undefined;
}
