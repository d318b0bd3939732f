// Elastic weight consolidation (Kirkpatrick et al. 2017, arXiv:1612.00796): a spring from every weight to what it was,
// whose stiffness is the weight's importance on a general corpus. Estimating that importance: fisher.ts.

import type { Module } from "../../nn/index.js";
import { LoraLinear, SavedModule } from "../../peft/index.js";
import { keep, noGrad, scope, type Tensor, zeros, zerosLike } from "../../torch/index.js";
import type { Division, Figures, TrainingMethod } from "../training-method.js";

/** A weight that is trained as it is. */
interface WholeTerm {
  readonly parameter: Tensor;
  /** What it was. */
  readonly origin: Tensor;
  readonly fisher: Tensor;
  /** What it was is a weight of the same model, whose values are kept where the model is divided. */
  readonly isCopy?: boolean;
}

/** A weight whose change is the product of an adapter. */
interface LoraTerm {
  readonly layer: LoraLinear;
  readonly fisher: Tensor;
}

/** What a process has of a weight. */
type OwnPart = NonNullable<ReturnType<Division["partOf"]>>;

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
  const whole = (parameter: Tensor, name: string, isCopy = false): void => {
    const [origin, stiffness] = [base.get(name), fisher.get(name)];
    if (origin === undefined || stiffness === undefined) return;
    // its memory, whatever becomes of the weight
    const before = isCopy ? scope(() => keep(noGrad(() => origin.detach()))) : origin;
    terms.push({ parameter, origin: before, fisher: stiffness, isCopy });
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
        whole(copy, nameOf.get(originals[i] as Tensor) as string, true);
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
  #terms: readonly ElasticTerm[];
  #division: Division | undefined;
  #loss: Tensor | undefined;

  constructor(
    terms: readonly ElasticTerm[],
    readonly lambda: number,
  ) {
    this.#terms = terms;
  }

  /** What is held, of which processes may have a part each. */
  get terms(): readonly ElasticTerm[] {
    return this.#terms;
  }

  /** Where processes have a part of the penalty each, it is their sum. */
  get sharedFigures(): string[] {
    return this.#division === undefined ? [] : ["ewc_loss"];
  }

  /** From now on has the springs of this process's parts of whole weights, and of LoRA layers those of its rows. */
  divide(division: Division): void {
    this.#division = division;
    this.#terms = this.#terms.flatMap((term): ElasticTerm[] => {
      if ("layer" in term) return [term];
      const own = division.partOf(term.parameter);
      const slice = (whole: Tensor, { part, from }: OwnPart): Tensor =>
        noGrad(() => whole.detach().reshape([-1]).narrow(0, from, part.numel()));
      // of a copy's memory nothing else is left to keep
      const origin =
        own && scope(() => keep(term.isCopy ? slice(term.origin, own).clone() : slice(term.origin, own)));
      if (term.isCopy) term.origin.dispose();
      if (own === undefined || origin === undefined) return [];
      return [{ parameter: own.part, origin, fisher: scope(() => keep(slice(term.fisher, own))) }];
    });
  }

  /** Adds the penalty's gradient to each weight's. */
  addGradients(): void {
    scope(() =>
      noGrad(() => {
        const [first] = this.#terms;
        this.#loss?.dispose();
        this.#loss = undefined;
        const device = first?.fisher.device;
        const total = zeros([], { dtype: "float64", ...(device !== undefined && { device }) });
        const add = (terms: readonly ElasticTerm[]): void => {
          for (const term of terms)
            scope(() => void total.add_("layer" in term ? this.#ofLora(term) : this.#ofWhole(term)));
        };
        if (this.#division === undefined) add(this.#terms);
        else {
          const layers = this.#terms.filter((term) => "layer" in term);
          add(this.#terms.filter((term) => !("layer" in term)));
          if (layers.length > 0)
            this.#division.gathered((isThere) =>
              add(layers.filter(({ layer }) => isThere(layer.lora_A.weight))),
            );
        }
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
    const [from, rows] = this.#rowsOf(fisher.size(0));
    const own = (whole: Tensor): Tensor => whole.narrow(0, from, rows);
    const [a, b] = [lora_A.weight, own(lora_B.weight)]; // [rank, in], [rows, rank]
    const change = b.matmul(a).mul_(scaling); // [rows, in]
    const pull = own(fisher).to(change.dtype).mul(change);
    const value = change.mul_(pull).sum();
    pull.mul_(this.lambda * scaling);
    addTo(lora_B.weight, pull.matmul(a.t()), from);
    addTo(a, b.t().matmul(pull));
    return value;
  }

  /** Of a layer's outputs those whose springs are this process's. */
  #rowsOf(count: number): [from: number, rows: number] {
    const { rank, size } = this.#division ?? { rank: 0, size: 1 };
    const from = Math.floor((count * rank) / size);
    return [from, Math.floor((count * (rank + 1)) / size) - from];
  }

  /** `ewc_loss`: the penalty at the window's weights. */
  figures(): Figures {
    return { ewc_loss: this.#loss?.item() ?? 0 };
  }
}

function wide({ dtype }: Tensor): "float64" | "float32" {
  return dtype === "float64" ? "float64" : "float32";
}

/** Adds to a parameter's gradient, from row `from` on. */
function addTo(parameter: Tensor, gradient: Tensor, from = 0): void {
  const isWhole = gradient.size(0) === parameter.size(0);
  if (parameter.grad === undefined && isWhole) {
    parameter.grad = gradient.to(parameter.dtype);
    return;
  }
  parameter.grad ??= zerosLike(parameter.detach());
  const { grad } = parameter;
  grad.narrow(0, from, gradient.size(0)).add_(gradient.to(grad.dtype));
}
