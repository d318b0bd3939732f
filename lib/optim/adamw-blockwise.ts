// AdamW as bitsandbytes 0.50 has it: moments in codes of 8 bits (Dettmers et al. 2022, arXiv:2110.02861) or in float32,
// and states that lie in a mapped file, which the system may put on the disk ("paged"). The arithmetic is
// native/kernels/rows/adamw.cc's.

import { dynamicLevels } from "../nn/index.js";
import type { Device, Tensor } from "../torch/index.js";
import { keep, op, releasePages, scope, tensor } from "../torch/index.js";
import type { AdamWOptions } from "./adamw.js";
import {
  LONGEST_RUN,
  type OptimizerKind,
  type OptimizerSettings,
  type ParameterForm,
  type StateForms,
  type TensorForm,
} from "./optimizer.js";
import type { TrainedParameters } from "./parameters.js";
import { type GroupSettings, StatefulOptimizer, type UpdatedParameter } from "./stateful.js";

/** Settings of {@link BlockwiseAdamW}. */
export interface BlockwiseAdamWOptions extends AdamWOptions {
  /** Of a moment's element: 8 or 32. */
  bits: 8 | 32;
  /** Where large states lie in files without a name; left out, in memory. */
  pagesIn?: string | undefined;
}

const stepInPlace =
  op<
    (
      parameter: Tensor,
      gradient: Tensor,
      state: readonly Tensor[],
      levels: readonly Tensor[],
      settings: readonly number[],
    ) => void
  >("qwen_pt::adamw_step_");
const levelSteps = op<(levels: Tensor) => Tensor>("qwen_pt::level_steps");

/** Numbers that share a scale. */
const RUN = LONGEST_RUN;
/** Parameters of fewer elements keep moments of 32 bits: bitsandbytes' `min_8bit_size`. */
const LEAST_IN_8_BITS = 4096;
/** States of fewer elements stay in memory, as bitsandbytes' do. */
const LEAST_PAGED = 1e5;
/** transformers keeps an embedding's moments in 32 bits; adapters on it are no embedding. */
const EMBEDDING = /(?:^|\.)embed_tokens\.(?!.*lora_)/;

function forms(
  { shape, name = "", wholeShape = shape }: ParameterForm,
  { bits, pagesIn }: Pick<BlockwiseAdamWOptions, "bits" | "pagesIn">,
): StateForms {
  const [count, all] = [shape, wholeShape].map((sizes) => sizes.reduce((a, b) => a * b, 1)) as [
    number,
    number,
  ];
  const inCodes = bits === 8 && all >= LEAST_IN_8_BITS && !EMBEDDING.test(name);
  const scales: TensorForm = { shape: [Math.ceil(count / RUN)], dtype: "float32" };
  const moment: TensorForm = {
    shape,
    dtype: inCodes ? "uint8" : "float32",
    ...(pagesIn !== undefined && all >= LEAST_PAGED && { pagesIn }),
  };
  return {
    step: { shape: [], dtype: "float32", device: "cpu" }, // read at every step: not from a GPU
    state1: moment,
    state2: moment,
    ...(inCodes && { absmax1: scales, absmax2: scales }),
  };
}

/**
 * The optimizer and its state, by bitsandbytes' names: `<parameter>.state1` and `.state2` are the means of gradients and
 * of their squares; in 8 bits they are codes, with `.absmax1` and `.absmax2`, the scales of 256 each. Updates are
 * computed in float32.
 */
export class BlockwiseAdamW extends StatefulOptimizer {
  /** The scales have a number for each run. */
  readonly runs = { absmax1: RUN, absmax2: RUN } as const;
  readonly #options: Required<Pick<AdamWOptions, "beta1" | "beta2" | "eps">>;
  readonly #levels = new Map<Device, readonly Tensor[]>();

  constructor(parameters: TrainedParameters, options: BlockwiseAdamWOptions) {
    super(
      parameters,
      options.learningRate,
      (parameter) => forms(parameter, options),
      options.weightDecay ?? 0.01,
    );
    const { beta1 = 0.9, beta2 = 0.999, eps = 1e-8 } = options;
    this.#options = { beta1, beta2, eps };
  }

  /** One parameter after the other: each has a count of steps. */
  protected update(parts: readonly UpdatedParameter[], { learningRate, weightDecay }: GroupSettings): void {
    const { beta1, beta2, eps } = this.#options;
    for (const { parameter, gradient, state } of parts) {
      const step = Number((state["step"] as Tensor).add_(1).item());
      const moments = ["state1", "state2", "absmax1", "absmax2"].flatMap((name) => state[name] ?? []);
      const levels = moments.length === 4 ? this.#levelsOn(parameter.device) : [];
      stepInPlace(parameter, gradient, moments, levels, [learningRate, beta1, beta2, eps, weightDecay, step]);
      for (const moment of moments) releasePages(moment);
    }
  }

  /** What codes mean: of the signed mean, and of the squares, which have no sign. */
  #levelsOn(device: Device): readonly Tensor[] {
    let levels = this.#levels.get(device);
    if (levels === undefined) {
      levels = scope(() =>
        [true, false].flatMap((signed) => {
          const values = tensor(dynamicLevels(signed));
          return [values, levelSteps(values)].map((one) => one.to({ device }));
        }),
      ).map(keep);
      this.#levels.set(device, levels);
    }
    return levels;
  }

  /** Frees the state. */
  override dispose(): void {
    super.dispose();
    for (const levels of this.#levels.values()) for (const one of levels) one.dispose();
    this.#levels.clear();
  }
}

function kindOf(bits: 8 | 32, isPaged: boolean): OptimizerKind {
  const place = ({ folder }: OptimizerSettings) => ({ bits, pagesIn: isPaged ? folder : undefined });
  return {
    isElementwise: true,
    state: (parameter, settings) => forms(parameter, place(settings)),
    make: (groups, settings) => new BlockwiseAdamW(groups, { ...settings, ...place(settings) }),
  };
}

/** `optim: adamw_bnb_8bit`. */
export const adamw8bit = kindOf(8, false);
/** `optim: paged_adamw_8bit`. */
export const pagedAdamw8bit = kindOf(8, true);
/** `optim: paged_adamw_32bit`. */
export const pagedAdamw32bit = kindOf(32, true);
