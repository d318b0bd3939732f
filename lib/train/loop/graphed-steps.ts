// Micro-steps of a run as graphs: of each shape of batch the first are computed as usual, one is recorded, and from then
// on its graph is replayed on new inputs. Inputs are copied into tensors that stay, gradients are added up in tensors
// that stay, and the scale of the loss, which a graph holds as a number, is the first window's: where another window has
// another, its gradients and losses are multiplied by the quotient at its end.
// Not here: which runs can have graphs (graphs.ts), what records them (torch/accelerator/graph.ts).
import type { Batch } from "../../data/index.js";
import type { CausalModel, Positions } from "../../models/causal-model.js";
import { inputsOf, microStepLoss, type StepInputs, type StepOptions } from "../../step/micro-step.js";
import {
  type GraphRecorder,
  keep,
  noGrad,
  op,
  type Recording,
  scope,
  Tensor,
  zerosLike,
} from "../../torch/index.js";

/** Micro-steps of a shape that are computed before one is recorded: kernels are compiled and chosen in them. */
const BEFORE = 2;
/** Shapes that have graphs; further ones are computed as usual, since each graph keeps its activations' memory. */
const MOST = 8;

const zeroAll = op<(self: readonly Tensor[]) => void>("aten::_foreach_zero_");
const multiplyAll = op<(self: readonly Tensor[], scalar: number) => void>("aten::_foreach_mul_.Scalar");
const copyInto = op<(self: Tensor, src: Tensor, nonBlocking: boolean) => Tensor>("aten::copy_");

interface Shape {
  seen: number;
  graph?: { readonly recording: Recording; readonly inputs: StepInputs };
}

type MicroStepOptions = Omit<StepOptions, "scale" | "inputs">;

/** The micro-steps of one model. */
export class GraphedSteps {
  readonly #model: CausalModel;
  readonly #trained: readonly Tensor[];
  readonly #recorder: GraphRecorder;
  readonly #gradients: readonly Tensor[];
  readonly #shapes = new Map<string, Shape>();
  /** What the loss is multiplied by: the first window's scale. */
  #scale: number | undefined;
  /** What it should be in the window under way. */
  #asked = 0;

  /** @param trained the parameters that have gradients */
  constructor(model: CausalModel, trained: readonly Tensor[], recorder: GraphRecorder) {
    this.#model = model;
    this.#trained = trained;
    this.#recorder = recorder;
    this.#gradients = scope(() => noGrad(() => trained.map((one) => zerosLike(one.detach())))).map(keep);
  }

  /** Before a window's first micro-step: gradients of zero, where graphs add to them. */
  startWindow(): void {
    noGrad(() => zeroAll(this.#gradients));
    for (const [at, parameter] of this.#trained.entries()) parameter.grad = this.#gradients[at];
  }

  /** A micro-step's loss times the first window's scale, on the device; its gradients are added up likewise. */
  microStep(batch: Batch, options: MicroStepOptions, scale: number): Tensor {
    this.#asked = scale;
    if (scale !== 0) this.#scale ??= scale; // a window without labels has none to go by
    return scope(() => {
      const all: StepOptions = { ...options, scale: this.#scale ?? scale };
      const inputs = inputsOf(this.#model, batch, all);
      const key = JSON.stringify([batch.batch, batch.length, options.lossScale ?? 1, formOf(inputs)]);
      const shape = this.#shapes.get(key) ?? { seen: 0 };
      this.#shapes.set(key, shape);
      if (shape.graph === undefined && (shape.seen++ < BEFORE || !this.#canRecord))
        return microStepLoss(this.#model, batch, { ...all, inputs });
      shape.graph ??= this.#record(batch, all, inputs);
      copyInputs(shape.graph.inputs, inputs);
      const loss = shape.graph.recording.replay();
      return noGrad(() => loss.clone());
    });
  }

  /** After a window's last micro-step: gradients and losses by the window's own scale. */
  endWindow(losses: readonly Tensor[]): void {
    if (this.#scale === undefined || this.#asked === this.#scale) return;
    const quotient = this.#asked / this.#scale;
    noGrad(() => {
      multiplyAll(this.#gradients, quotient);
      multiplyAll(losses, quotient);
    });
  }

  /** Frees graphs, inputs and gradients. */
  dispose(): void {
    for (const { graph } of this.#shapes.values()) {
      graph?.recording.dispose();
      for (const input of tensorsOf(graph?.inputs)) input.dispose();
    }
    this.#shapes.clear();
    for (const gradient of this.#gradients) gradient.dispose();
  }

  get #canRecord(): boolean {
    const recorded = [...this.#shapes.values()].filter(({ graph }) => graph !== undefined).length;
    return this.#scale !== undefined && recorded < MOST;
  }

  #record(batch: Batch, options: StepOptions, given: StepInputs): NonNullable<Shape["graph"]> {
    const inputs = kept(given);
    const { isAborted: _, ...rest } = options; // a graph is not asked in between
    const recording = this.#recorder.record(() => microStepLoss(this.#model, batch, { ...rest, inputs }));
    return { recording, inputs };
  }
}

/** Copies of inputs that outlive every scope. */
function kept(given: StepInputs): StepInputs {
  const own = (x: Tensor): Tensor => keep(noGrad(() => x.detach().clone()));
  const positions = Object.entries(given.positions as object).map(([name, value]) => [
    name,
    value instanceof Tensor ? own(value) : value,
  ]);
  return {
    ids: own(given.ids),
    targets: own(given.targets),
    positions: Object.fromEntries(positions) as Positions,
  };
}

function tensorsOf(inputs: StepInputs | undefined): Tensor[] {
  if (inputs === undefined) return [];
  const { ids, targets, positions } = inputs;
  return [ids, targets, ...Object.values(positions as object).filter((value) => value instanceof Tensor)];
}

/** Shapes and dtypes of inputs, and what of them is no tensor: where one differs, another graph is needed. */
function formOf({ positions, ...inputs }: StepInputs): unknown {
  return [...Object.entries(inputs), ...Object.entries(positions as object)].map(([name, value]) =>
    value instanceof Tensor ? [name, value.shape, value.dtype] : [name, value],
  );
}

function copyInputs(into: StepInputs, from: StepInputs): void {
  const sources = tensorsOf(from);
  noGrad(() => {
    for (const [at, target] of tensorsOf(into).entries()) copyInto(target, sources[at] as Tensor, true);
  });
}
