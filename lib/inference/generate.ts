// Text generation, a token at a time: greedy or sampled, with a key-value cache.
// Not here: tokenizing and chat formats.

import { UserError } from "../errors.js";
import { type FamilyModel, KVCache } from "../models/index.js";
import type { Tensor } from "../torch/index.js";
import { noGrad, op, scope, tensor } from "../torch/index.js";

/** How {@link generateTokens} chooses tokens, by transformers' meanings. */
export interface GenerateOptions {
  /** Maximum number of new tokens. Default 256. */
  maxNewTokens?: number;
  /** Sample (true) or take the likeliest token (false, the default). */
  sample?: boolean;
  /** Divides the scores; above 0. Default 1. Sampling only. */
  temperature?: number;
  /** Keep the k likeliest tokens; 0 or left out: all. Sampling only. */
  topK?: number;
  /** Keep the smallest set of tokens with this much probability; 1 or left out: all. Sampling only. */
  topP?: number;
  /** Above 1 makes tokens seen before less likely (Keskar et al. 2019, arXiv:1909.05858). Default 1. */
  repetitionPenalty?: number;
  /** Tokens that end the text; they are not given out. Default: the model's own. */
  eosTokenIds?: readonly number[];
}

const topk = op<(self: Tensor, k: number, dim: number) => [Tensor, Tensor]>("aten::topk");
const sort = op<(self: Tensor, dim: number, descending: boolean) => [Tensor, Tensor]>("aten::sort");
const scatter = op<(self: Tensor, dim: number, index: Tensor, src: Tensor) => Tensor>("aten::scatter.src");
const gather = op<(self: Tensor, dim: number, index: Tensor) => Tensor>("aten::gather");
const multinomial = op<(self: Tensor, numSamples: number) => Tensor>("aten::multinomial");
const where = op<(condition: Tensor, self: Tensor, other: Tensor) => Tensor>("aten::where.self");

/**
 * The tokens that follow `prompt`, one by one; sampling draws from torch's global generator of the model's device.
 * Puts the model in eval mode for the while. Throws UserError for an empty prompt or options out of range.
 *
 *     for (const id of generateTokens(model, prompt, { maxNewTokens: 20 })) ids.push(id);
 */
export function* generateTokens(
  model: FamilyModel,
  prompt: ArrayLike<number>,
  options: GenerateOptions = {},
): Generator<number, void, undefined> {
  check(prompt, options);
  const { maxNewTokens = 256, eosTokenIds = model.config.eos_token_id } = options;
  const device = model.inputEmbedding.weight.device;
  const wasTraining = model.training;
  const seen = Array.from(prompt);
  const cache = new KVCache();
  model.eval();
  try {
    for (let made = 0; made < maxNewTokens; made++) {
      const input = made === 0 ? seen : seen.slice(-1);
      const next = scope(() =>
        noGrad(() => {
          const inputIds = tensor(BigInt64Array.from(input, BigInt), { shape: [1, input.length], device });
          const logits = model.forward({ inputIds, cache, lastOnly: true });
          return pick(logits.select(1, 0).to("float32"), seen, options);
        }),
      );
      if (eosTokenIds.includes(next)) return;
      seen.push(next);
      yield next;
    }
  } finally {
    cache.dispose();
    model.train(wasTraining);
  }
}

/**
 * The same as an asynchronous iterable that lets other work run between tokens and stops when the signal does.
 */
export async function* generate(
  model: FamilyModel,
  prompt: ArrayLike<number>,
  options: GenerateOptions & { signal?: AbortSignal } = {},
): AsyncGenerator<number, void, undefined> {
  for (const token of generateTokens(model, prompt, options)) {
    yield token;
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (options.signal?.aborted) return;
  }
}

function pick(logits: Tensor, seen: readonly number[], options: GenerateOptions): number {
  const scores = processScores(logits, seen, options);
  if (!options.sample) return Number(scores.argmax(-1).item());
  return Number(multinomial(scores.softmax(-1), 1).item());
}

/**
 * scores [1, vocab] -> the same shape, by the options: repetition penalty, temperature, top-k, top-p, in that order
 * (transformers' order). What is cut off becomes -Infinity.
 */
export function processScores(scores: Tensor, seen: readonly number[], options: GenerateOptions): Tensor {
  const { sample = false, temperature = 1, topK = 0, topP = 1, repetitionPenalty = 1 } = options;
  let now = scores;
  if (repetitionPenalty !== 1) now = penalise(now, seen, repetitionPenalty);
  if (!sample) return now;
  if (temperature !== 1) now = now.div(temperature);
  if (topK > 0) {
    const [best] = topk(now, Math.min(topK, now.shape[1] as number), -1);
    const last = best.narrow(-1, (best.shape[1] as number) - 1, 1); // [1, 1]
    now = now.maskedFill(now.lt(last), -Infinity);
  }
  return topP < 1 ? nucleus(now, topP) : now;
}

function penalise(scores: Tensor, seen: readonly number[], penalty: number): Tensor {
  const ids = tensor(BigInt64Array.from(seen, BigInt), { shape: [1, seen.length], device: scores.device });
  const score = gather(scores, 1, ids);
  return scatter(scores, 1, ids, where(score.lt(0), score.mul(penalty), score.div(penalty)));
}

/** Holtzman et al. 2019 (arXiv:1904.09751). At least one token stays. */
function nucleus(scores: Tensor, topP: number): Tensor {
  const [sorted, order] = sort(scores, -1, false);
  const count = scores.shape[1] as number;
  const drop = sorted
    .softmax(-1)
    .cumsum(-1)
    .le(1 - topP);
  drop.narrow(-1, count - 1, 1).fill_(0);
  return scores.maskedFill(scatter(drop, 1, order, drop), -Infinity);
}

function check(prompt: ArrayLike<number>, options: GenerateOptions): void {
  if (prompt.length === 0) throw new UserError("generate: the prompt is empty; at least one token is needed");
  const inRange = (key: keyof GenerateOptions, ok: (value: number) => boolean, range: string): void => {
    const value = options[key] as number | undefined;
    if (value !== undefined && !ok(value)) throw new UserError(`generate: ${key}: ${value} is not ${range}`);
  };
  inRange("temperature", (t) => t > 0, "above 0; use sample: false for the likeliest token");
  inRange("topP", (p) => p > 0 && p <= 1, "in (0, 1]");
  inRange("topK", (k) => Number.isInteger(k) && k >= 0, "a whole number from 0 on");
  inRange("repetitionPenalty", (p) => p > 0, "above 0");
  inRange("maxNewTokens", (n) => Number.isInteger(n) && n >= 0, "a whole number from 0 on");
}
