// y = x W^T + b.

import type { Device, DType, Tensor } from "../torch/index.js";
import {
  autocastDType,
  empty,
  holdsValues,
  isFixedPoint,
  isHost,
  keep,
  linear,
  noGrad,
  op,
  scope,
} from "../torch/index.js";
import { kaimingUniform_, uniform_ } from "./init.js";
import { Projection } from "./projection.js";
import { isRecallable, recallable } from "./recall.js";

const recast = op<(x: Tensor, weight: Tensor) => Tensor>("qwen_pt::linear_recast");
const recall = op<(x: Tensor, weight: Tensor, given: Tensor) => Tensor>("qwen_pt::linear_recast_recalled");

/** How a layer's parameters are made. */
export interface LayerOptions {
  /** Whether there is a bias. Default false, unlike PyTorch. */
  bias?: boolean;
  /** Of the parameters. Default float32. */
  dtype?: DType;
  /** Of the parameters. Default `cpu`; `meta` allocates nothing. */
  device?: Device;
  /** Whether the parameters train: as PyTorch's, they do by default. */
  requiresGrad?: boolean;
}

/**
 * A linear layer: weight [outFeatures, inFeatures], bias [outFeatures] if asked for (PyTorch's default is a bias;
 * Qwen3's layers have none, so here the default is none).
 * On the `meta` device nothing is drawn; elsewhere the draws are those of `torch.nn.Linear`, in its order.
 */
export class Linear extends Projection {
  /** [outFeatures, inFeatures]; a parameter. */
  weight: Tensor;
  /** [outFeatures], a parameter; undefined for none. */
  bias: Tensor | undefined;

  constructor(inFeatures: number, outFeatures: number, options: LayerOptions = {}) {
    super();
    const { bias = false, dtype = "float32", device = "cpu", requiresGrad = true } = options;
    const made = { dtype, device, requiresGrad };
    this.weight = keep(empty([outFeatures, inFeatures], made));
    if (bias) this.bias = keep(empty([outFeatures], made));
    if (!holdsValues(device)) return;
    kaimingUniform_(this.weight, Math.sqrt(5));
    if (this.bias !== undefined) uniform_(this.bias, -1 / Math.sqrt(inFeatures), 1 / Math.sqrt(inFeatures));
  }

  /** Size of the last dimension of the input. */
  get inFeatures(): number {
    return this.weight.shape[1] as number;
  }

  /** Size of the last dimension of the result. */
  get outFeatures(): number {
    return this.weight.shape[0] as number;
  }

  /** Of the weight. */
  get dtype(): DType {
    return this.weight.dtype;
  }

  /** x [..., inFeatures] -> [..., outFeatures] */
  forward(x: Tensor): Tensor {
    const { weight, bias } = this;
    if (bias !== undefined || !(isRecallable() || isNarrowed(weight) || isInteger(weight)))
      return linear(x, weight, bias);
    const plain = (): Tensor => recast(x, weight);
    return recallable(
      plain,
      () => [plain()],
      ([given]) => recall(x, weight, given as Tensor),
    );
  }

  /** x W^T without the bias, in x's dtype: [..., inFeatures] -> [..., outFeatures]. */
  product(x: Tensor): Tensor {
    return linear(x, this.weight.to(x.dtype));
  }

  /** The weight itself, [outFeatures, inFeatures]. */
  values(): Tensor {
    return this.weight;
  }

  /** The weight alone: it is read as it is. */
  override operands(): readonly Tensor[] {
    return [this.weight];
  }

  /** Puts `change(weight)`, rounded once to the weight's dtype, in the weight's place, whose memory is freed. */
  rewrite(change: (values: Tensor) => Tensor): this {
    const old = this.weight;
    this.weight = keep(scope(() => noGrad(() => change(old).to(old.dtype))));
    if (this.weight !== old) old.dispose();
    return this;
  }
}

/** Whether autocast would make a narrow copy of a trained weight, and keep it. */
function isNarrowed(weight: Tensor): boolean {
  const compute = autocastDType();
  return compute !== undefined && weight.dtype !== compute && weight.requiresGrad;
}

/** Whether a frozen weight is multiplied in integers. */
function isInteger(weight: Tensor): boolean {
  return !weight.requiresGrad && isHost(weight.device) && isFixedPoint(autocastDType() ?? weight.dtype);
}
