// The losses that training loops begin with, as torch.nn.functional has them: a `reduction` by its word, settings by
// name. The head and cross entropy in one, without the logits, is torch's linearCrossEntropy.

import type { Tensor } from "../torch/index.js";
import { ArgumentError, crossEntropy, op } from "../torch/index.js";

/** What becomes of the elements' losses: their mean, their sum, or all of them. */
export type Reduction = "mean" | "sum" | "none";

/** Settings of every loss. */
export interface LossOptions {
  /** Default `mean`. */
  reduction?: Reduction;
}

/** Settings of {@link crossEntropyLoss}. */
export interface CrossEntropyOptions extends LossOptions {
  /** [classes], in the dtype of the logits: what each class counts. */
  weight?: Tensor;
  /** The target that counts for nothing. Default -100. */
  ignoreIndex?: number;
  /** From 0 to 1: the share of the target that is spread over all classes. Default 0. */
  labelSmoothing?: number;
}

/** Settings of {@link binaryCrossEntropyWithLogits}. */
export interface BinaryCrossEntropyOptions extends LossOptions {
  /** Broadcast to the logits: what each element counts. */
  weight?: Tensor;
  /** Broadcast to the logits: what a positive counts, such as negatives over positives. */
  posWeight?: Tensor;
}

const CODES: Record<Reduction, number> = { none: 0, mean: 1, sum: 2 };

function codeOf(reduction: Reduction = "mean"): number {
  const code = CODES[reduction];
  if (code === undefined)
    throw new ArgumentError(
      `reduction: "${reduction}" is not one of ${Object.keys(CODES).join(", ")}`,
      "ERR_ARGUMENT",
    );
  return code;
}

type Elementwise = (self: Tensor, target: Tensor, reduction: number) => Tensor;
const squared = op<Elementwise>("aten::mse_loss");
const absolute = op<Elementwise>("aten::l1_loss");
const smooth =
  op<(self: Tensor, target: Tensor, reduction: number, beta: number) => Tensor>("aten::smooth_l1_loss");
const divergence =
  op<(self: Tensor, target: Tensor, reduction: number, options: { log_target: boolean }) => Tensor>(
    "aten::kl_div",
  );
const binary = op<
  (
    self: Tensor,
    target: Tensor,
    weight: Tensor | undefined,
    posWeight: Tensor | undefined,
    reduction: number,
  ) => Tensor
>("aten::binary_cross_entropy_with_logits");

/**
 * Softmax cross entropy of logits [rows, classes] (or [rows, classes, ...]) with targets [rows] (or [rows, ...]) of
 * class indices, int64; or with targets of the logits' shape, which are probabilities. The mean is over the targets that
 * count, each by its class's weight.
 */
export function crossEntropyLoss(logits: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor {
  const { weight, ignoreIndex = -100, labelSmoothing = 0 } = options;
  return crossEntropy(logits, target, weight, codeOf(options.reduction), ignoreIndex, labelSmoothing);
}

/** (input - target)^2, broadcast. */
export function mseLoss(input: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  return squared(input, target, codeOf(options.reduction));
}

/** |input - target|, broadcast. */
export function l1Loss(input: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  return absolute(input, target, codeOf(options.reduction));
}

/** Squared below `beta` (0.5 (input - target)^2 / beta), linear above it; beta is 1 by default. */
export function smoothL1Loss(
  input: Tensor,
  target: Tensor,
  options: LossOptions & { beta?: number } = {},
): Tensor {
  return smooth(input, target, codeOf(options.reduction), options.beta ?? 1);
}

/**
 * Kullback and Leibler's target * (log(target) - input), broadcast: `input` are logarithms of probabilities, `target`
 * are probabilities, or their logarithms too with `logTarget`. `batchmean` divides the sum by the first dimension's size,
 * which is the divergence's own mean.
 */
export function klDivLoss(
  input: Tensor,
  target: Tensor,
  options: { reduction?: Reduction | "batchmean"; logTarget?: boolean } = {},
): Tensor {
  const { reduction = "mean", logTarget: log_target = false } = options;
  if (reduction !== "batchmean") return divergence(input, target, codeOf(reduction), { log_target });
  return divergence(input, target, CODES.sum, { log_target }).div(input.shape[0] ?? 1);
}

/** -target * log(sigmoid(logits)) - (1 - target) * log(1 - sigmoid(logits)), without overflow; target in [0, 1]. */
export function binaryCrossEntropyWithLogits(
  logits: Tensor,
  target: Tensor,
  options: BinaryCrossEntropyOptions = {},
): Tensor {
  return binary(logits, target, options.weight, options.posWeight, codeOf(options.reduction));
}
