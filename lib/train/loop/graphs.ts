// Which runs have their micro-steps replayed as graphs, and what is said where one that asked for it has not.
import type { Recipe } from "../../config/index.js";
import type { Emit } from "../../events.js";
import type { AllMethods } from "../../methods/index.js";
import type { CausalModel } from "../../models/causal-model.js";
import { isDivided } from "../../step/passage.js";
import { type Checkpointing, drawsRandom } from "../../step/recompute.js";
import { type Device, type GraphRecorder, graphRecorder, type Tensor } from "../../torch/index.js";
import type { Strategy } from "../strategy/strategy.js";
import { GraphedSteps } from "./graphed-steps.js";

/** What decides it. */
export interface GraphOptions {
  recipe: Recipe;
  model: CausalModel;
  device: Device;
  strategy: Pick<Strategy, "size">;
  methods: Pick<AllMethods, "objective">;
  checkpointing: Checkpointing;
  onEvent?: Emit | undefined;
  /** In place of the device's own. */
  recorder?: GraphRecorder | undefined;
}

/** Why a run has no graphs although its device has; undefined where nothing speaks against them. */
function objection({ recipe, model, strategy, methods, checkpointing }: GraphOptions): string | undefined {
  if (strategy.size > 1) return "several processes sum their gradients in between";
  if (methods.objective !== undefined) return "a method of the recipe computes the loss";
  if (isDivided(model)) return "weights come and go between blocks (layer_offload)";
  if (recipe.activation_offload !== "none")
    return `activation_offload: ${recipe.activation_offload} moves activations`;
  if (model.embeddingTable?.weight.requiresGrad)
    return "the embedding trains, whose rows differ from batch to batch";
  if (checkpointing !== false && model.layers.some(drawsRandom))
    return "dropout is drawn twice alike with gradient_checkpointing, which a graph cannot; set one of them to 0 or false";
  return undefined;
}

/** The graphs of a run over the parameters it trains; undefined where it has none, which is said if it asked. */
export function graphsOf(options: GraphOptions, trained: readonly Tensor[]): GraphedSteps | undefined {
  const { recipe, model, device, onEvent } = options;
  if (!recipe.cuda_graphs) return undefined;
  const recorder = options.recorder ?? graphRecorder(device);
  const against = typeof recorder === "string" ? recorder : objection(options);
  if (against === undefined) return new GraphedSteps(model, trained, recorder as GraphRecorder);
  onEvent?.({ type: "message", level: "warning", text: `cuda_graphs: trains without graphs: ${against}` });
  return undefined;
}
