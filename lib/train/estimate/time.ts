// How long training takes on this processor: a model of one block of the recipe's shapes, with a slice of its vocabulary,
// runs micro-steps for some seconds, and the whole model's step is put together from what they took. Block, head and
// optimizer are the ones that train, so that every kernel is in the measurement. Nothing is kept from one call to the next.

import { optimizerOf } from "../../assembly/optimizer.js";
import { precisionOf } from "../../assembly/precision.js";
import { contextParts, type Recipe } from "../../config/index.js";
import {
  buildEmptyModel,
  type FamilyModel,
  familyOf,
  initializeWeights,
  type ModelConfig,
} from "../../models/index.js";
import { causalAttention } from "../../nn/index.js";
import { clipGradNorm } from "../../optim/index.js";
import { headLoss, nextTokenLabels } from "../../step/loss.js";
import { evaluateBatch, microStep } from "../../step/micro-step.js";
import type { Checkpointing } from "../../step/recompute.js";
import { autocast, backward, noGrad, randn, scope, type Tensor, zeros } from "../../torch/index.js";
import { chooseTrained, keptBlocks } from "./memory.js";

/** Seconds of the parts of a step, for one row of `cutoff_len` tokens. */
export interface MeasuredParts {
  /** One block forward and backward, by mode of gradient checkpointing. */
  readonly block: Readonly<Record<"keeping" | "selective" | "whole", number>>;
  /** One block forward alone. */
  readonly forward: number;
  /** The head with its loss, of the whole vocabulary. */
  readonly head: number;
  /** The optimizer's step with clipping, for each trained element. */
  readonly optimizer: number;
}

/** Tokens that the calibration computes with at most, and operations of a block's products that it aims at. */
const MOST_TOKENS = 2048;
const BLOCK_OPERATIONS = 64e9;
/** Entries of the vocabulary that it measures, and elements that its optimizer updates. */
const VOCABULARY = 16384;
const ELEMENTS = 4 << 20;
const ROW = 1024;

/** Seconds of `body`, the least of two rounds. */
function timed(body: () => void): number {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 2; round++) {
    const start = performance.now();
    body();
    least = Math.min(least, (performance.now() - start) / 1000);
  }
  return least;
}

/** One block of the model with random weights, its parts trained as the whole model's are. */
function oneBlock(whole: FamilyModel, recipe: Recipe, config: ModelConfig): FamilyModel {
  const size = Math.min(VOCABULARY, config.vocab_size);
  const small = { ...config, num_hidden_layers: 1, vocab_size: size, pad_token_id: undefined };
  const model = buildEmptyModel(small);
  initializeWeights(model, config.dtype ?? "float32");
  // freeze: a block that trains; others have their forward pass alone
  chooseTrained(model, recipe.finetuning_type === "freeze" ? { ...recipe, finetuning_type: "full" } : recipe);
  if (recipe.finetuning_type === "freeze") {
    const trains = new Map(
      [...whole.namedParameters()].map(([name, { requiresGrad }]) => [name, requiresGrad]),
    );
    for (const [name, parameter] of model.namedParameters())
      if (!name.includes("layers.")) parameter.requiresGrad_(trains.get(name) ?? false);
  }
  model.train();
  return model;
}

/** Attention of one row, forward alone and with its backward pass. */
function attentionSeconds(config: ModelConfig, recipe: Recipe, length: number) {
  const { heads, kvHeads, headDim } = familyOf(config).blockShape(config);
  const dtype = precisionOf(recipe).compute ?? config.dtype ?? "float32";
  return scope(() => {
    const make = (count: number) => randn([1, length, count, headDim]).to(dtype);
    const [q, k, v, seed] = [make(heads), make(kvHeads), make(kvHeads), make(heads)];
    const forward = timed(() => scope(() => noGrad(() => void causalAttention(q, k, v))));
    const both = timed(() =>
      scope(() => {
        const [a, b, c] = [q, k, v].map((x) => x.detach().requiresGrad_()) as [Tensor, Tensor, Tensor];
        backward(causalAttention(a, b, c), seed);
      }),
    );
    return { forward, both };
  });
}

/** Clipping and the optimizer for each element of a matrix, its state made before. */
function optimizerSeconds(recipe: Recipe, dtype: Tensor["dtype"]): number {
  return scope(() => {
    const shape = [ELEMENTS / ROW, ROW];
    const weight = zeros(shape, { dtype }).requiresGrad_();
    const { kind, settings } = optimizerOf(recipe);
    const optimizer = kind.make([{ names: ["w"], parameters: [weight], weightDecay: 0 }], settings);
    const step = (): void => {
      weight.grad = zeros(shape, { dtype });
      scope(() => void clipGradNorm([weight], 1));
      optimizer.step();
    };
    step();
    const seconds = timed(step) / ELEMENTS;
    optimizer.dispose();
    return seconds;
  });
}

/** Measurements that {@link measureParts} makes at most. */
const MEASUREMENTS = 8;

/**
 * Measures this machine with the recipe's shapes: `whole` is the model of {@link shapesOf}. Some seconds.
 * @param onMeasured called after each measurement with how many are done, of how many
 */
export function measureParts(
  whole: FamilyModel,
  recipe: Recipe,
  onMeasured: (done: number, total: number) => void = () => {},
): MeasuredParts {
  let done = 0;
  const measured = <T>(result: T): T => {
    onMeasured(++done, MEASUREMENTS);
    return result;
  };
  const { config } = whole;
  const { compute } = precisionOf(recipe);
  const model = oneBlock(whole, recipe, config);
  const elements = (model.layers[0] as FamilyModel["layers"][number])
    .parameters()
    .reduce((sum, parameter) => sum + parameter.numel(), 0);
  const most = Math.max(128, Math.min(MOST_TOKENS, Math.floor(BLOCK_OPERATIONS / (2 * elements))));
  const length = Math.min(recipe.cutoff_len, most);
  const ids = Int32Array.from({ length }, (_, i) => (i * 7919) % model.config.vocab_size);
  const batch = { inputIds: ids, labels: ids, attentionMask: undefined, batch: 1, length };
  const options = { device: "cpu", compute, scale: 1 / length };
  const trained = model.parameters().filter(({ requiresGrad }) => requiresGrad);
  const step = (checkpointing: Checkpointing) => (): void => {
    microStep(model, batch, { ...options, checkpointing });
  };
  measured(step(true)()); // memory, threads, gradients
  const head = measured(headSeconds(model, recipe, ids));
  const keeping = measured(timed(step(false)));
  const selective = measured(timed(step("selective")));
  const again = measured(timed(step(true)));
  const forwardOnly = measured(timed(() => void evaluateBatch(model, batch, options)));
  for (const parameter of trained) parameter.grad = undefined;
  const attended = measured(attentionAt(config, recipe, length));
  const scale = recipe.cutoff_len / length;
  const block = (seconds: number, passes: "both" | "forward", again = 0) =>
    Math.max(0, seconds - attended.measured[passes] - again * attended.measured.forward) * scale +
    attended.full[passes] +
    again * attended.full.forward;
  return {
    block: {
      keeping: block(keeping - head.both, "both"),
      selective: block(selective - head.both, "both"),
      whole: block(again - head.both, "both", 1),
    },
    forward: block(forwardOnly - head.forward, "forward"),
    head: head.both * scale * (config.vocab_size / model.config.vocab_size),
    optimizer: measured(optimizerSeconds(recipe, (trained[0] as Tensor).dtype)),
  };
}

/** At the measured length and at the recipe's: the same, or longer by its square. */
function attentionAt(config: ModelConfig, recipe: Recipe, length: number) {
  const none = { forward: 0, both: 0 };
  const { cutoff_len } = recipe;
  if (length === cutoff_len) return { measured: none, full: none };
  const longest = Math.min(cutoff_len, MOST_TOKENS);
  const long = attentionSeconds(config, recipe, longest);
  const times = (cutoff_len / longest) ** 2;
  return {
    measured: length === longest ? long : attentionSeconds(config, recipe, length),
    full: { forward: long.forward * times, both: long.both * times },
  };
}

/** Head and loss of the small vocabulary, with and without gradients. */
function headSeconds(model: FamilyModel, recipe: Recipe, ids: Int32Array) {
  const { compute } = precisionOf(recipe);
  const { hidden_size } = model.config;
  const stream = [...model.inputEmbedding.parameters()][0]?.dtype ?? "float32";
  return scope(() => {
    const targets = nextTokenLabels({ labels: ids, batch: 1, length: ids.length }, "cpu");
    const hidden = randn([1, ids.length, hidden_size]).to(stream);
    const loss = (of: Tensor): Tensor =>
      autocast(compute, () => headLoss(model, of, targets, 1 / ids.length, compute), "cpu");
    const both = timed(() => scope(() => backward(loss(hidden.detach().requiresGrad_()))));
    return { both, forward: timed(() => scope(() => noGrad(() => void loss(hidden)))) };
  });
}

/** Seconds of one optimizer step: its micro-steps, and the update. */
export function estimateStep(
  model: FamilyModel,
  recipe: Recipe,
  mode: Checkpointing,
  parts: MeasuredParts,
): number {
  const blocks = keptBlocks(model);
  const name = mode === false ? "keeping" : mode === "selective" ? "selective" : "whole";
  const trained = model
    .parameters()
    .reduce((sum, parameter) => sum + (parameter.requiresGrad ? parameter.numel() : 0), 0);
  const row = (model.layers.length - blocks) * parts.forward + blocks * parts.block[name] + parts.head;
  const rows = recipe.gradient_accumulation_steps * recipe.per_device_train_batch_size;
  // processes that share rows have as much to compute as each other
  return (rows * row) / contextParts(recipe) + trained * parts.optimizer;
}
