// Elastic weight consolidation (Kirkpatrick et al. 2017, arXiv:1612.00796): a spring from every weight to what it was,
// whose stiffness is the weight's importance on a general corpus. Estimating that importance: fisher.ts.

import type { Module } from "../../nn/index.js";
import { LoraLinear, SavedModule } from "../../peft/index.js";
import { keep, noGrad, scope, type Tensor, zeros } from "../../torch/index.js";
import type { Figures, TrainingMethod } from "../training-method.js";

/** A weight that is trained as it is. */
interface WholeTerm {
  readonly parameter: Tensor;
  /** What it was. */
  readonly origin: Tensor;
  readonly fisher: Tensor;
}

/** A weight whose change is the product of an adapter. */
interface LoraTerm {
  readonly layer: LoraLinear;
  readonly fisher: Tensor;
}

/** One weight that is held to where it was. */
export type ElasticTerm = WholeTerm | LoraTerm;

/**
 * The terms of a model's trained parts. `base`: the weights before training, by name; an adapted model's own base
 * weights, or a frozen copy's. What has no Fisher information (rows of new tokens) has no term.
 */
export function elasticTerms(
  model: Module,
  base: ReadonlyMap<string, Tensor>,
  fisher: ReadonlyMap<string, Tensor>,
): ElasticTerm[] {
  const terms: ElasticTerm[] = [];
  const whole = (parameter: Tensor, name: string): void => {
    const [origin, stiffness] = [base.get(name), fisher.get(name)];
    if (origin !== undefined && stiffness !== undefined) terms.push({ parameter, origin, fisher: stiffness });
  };
  const nameOf = new Map([...base].map(([name, tensor]) => [tensor, name]));
  let adapted = false;
  for (const [, module] of model.namedModules()) {
    if (module instanceof LoraLinear) {
      const stiffness = fisher.get(nameOf.get(module.base_layer.weight) as string);
      if (stiffness !== undefined) terms.push({ layer: module, fisher: stiffness });
    } else if (module instanceof SavedModule) {
      const originals = module.original_module.parameters();
      for (const [i, copy] of module.modules_to_save.parameters().entries())
        whole(copy, nameOf.get(originals[i] as Tensor) as string);
    } else continue;
    adapted = true;
  }
  if (!adapted)
    for (const [name, parameter] of model.namedParameters())
      if (parameter.requiresGrad) whole(parameter, name);
  return terms;
}

/** The base weights whose Fisher information {@link elasticTerms} asks for, by name. */
export function elasticNames(model: Module, base: ReadonlyMap<string, Tensor>): string[] {
  const any = new Map([...base.keys()].map((name) => [name, base.get(name) as Tensor]));
  const wanted = new Set<Tensor>(elasticTerms(model, base, any).map(({ fisher }) => fisher));
  return [...base].filter(([, tensor]) => wanted.has(tensor)).map(([name]) => name);
}

/**
 * lambda / 2 * sum F_i (w_i - w0_i)^2, its gradient lambda F_i (w_i - w0_i) added once a window, and its value logged
 * as `ewc_loss`. Of a LoRA layer w - w0 is s B A, with G = lambda F (s B A): the gradient of B is s G A^T and that of
 * A is s B^T G; one layer's [out, in] exists at a time. With gradients of another dtype than float32 the sum is
 * rounded to it once.
 */
export class ElasticWeights implements TrainingMethod {
  #loss: Tensor | undefined;

  constructor(
    readonly terms: readonly ElasticTerm[],
    readonly lambda: number,
  ) {}

  /** Adds the penalty's gradient to each weight's. */
  addGradients(): void {
    scope(() =>
      noGrad(() => {
        const [first] = this.terms;
        this.#loss?.dispose();
        if (first === undefined) return;
        const total = zeros([], { dtype: "float64", device: first.fisher.device });
        for (const term of this.terms)
          scope(() => void total.add_("layer" in term ? this.#ofLora(term) : this.#ofWhole(term)));
        this.#loss = keep(total.mul(this.lambda / 2));
      }),
    );
  }

  /** Adds the gradient, gives sum F d^2. */
  #ofWhole({ parameter, origin, fisher }: WholeTerm): Tensor {
    const change = parameter.to(wide(parameter)).sub(origin.to(wide(parameter)));
    const pull = fisher.to(change.dtype).mul(change);
    const value = pull.mul(change).sum();
    addTo(parameter, pull.mul_(this.lambda));
    return value;
  }

  #ofLora({ layer: { lora_A, lora_B, scaling }, fisher }: LoraTerm): Tensor {
    const [a, b] = [lora_A.weight, lora_B.weight]; // [rank, in], [out, rank]
    const change = b.matmul(a).mul_(scaling); // [out, in]
    const pull = fisher.to(change.dtype).mul(change);
    const value = change.mul_(pull).sum();
    pull.mul_(this.lambda * scaling);
    addTo(b, pull.matmul(a.t()));
    addTo(a, b.t().matmul(pull));
    return value;
  }

  /** `ewc_loss`: the penalty at the window's weights. */
  figures(): Figures {
    return { ewc_loss: this.#loss?.item() ?? 0 };
  }
}

function wide({ dtype }: Tensor): "float64" | "float32" {
  return dtype === "float64" ? "float64" : "float32";
}

function addTo(parameter: Tensor, gradient: Tensor): void {
  const { grad } = parameter;
  if (grad === undefined) parameter.grad = gradient.to(parameter.dtype);
  else grad.add_(gradient.to(grad.dtype));
}
