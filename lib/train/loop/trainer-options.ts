// What a trainer is given. Types alone.
import type { Recipe } from "../../config/index.js";
import type { BlockStream, EvaluationSet, SourceSampler, TokenBlocks } from "../../data/index.js";
import type { TrainEvent } from "../../events.js";
import type { TrainingMethod } from "../../methods/index.js";
import type { CausalModel } from "../../models/causal-model.js";
import type { Checkpointing } from "../../step/recompute.js";
import type { Device, GraphRecorder } from "../../torch/index.js";
import type { DividedSaving } from "../checkpoint/save-trained.js";
import type { Strategy } from "../strategy/strategy.js";
import type { TrainerCallback } from "./callbacks.js";

/** What a `Trainer` works with; `prepare` makes one from a recipe. */
export interface TrainerOptions {
  /** What decides steps, rates, logging and saving. */
  recipe: Recipe;
  /** The model, whose trained part is chosen. */
  model: CausalModel;
  /** The training blocks. */
  blocks: TokenBlocks;
  /** What is evaluated on, where the recipe asks for it. */
  evaluation?: readonly EvaluationSet[];
  /** Steps of a stream, in place of blocks; `blocks` then stands for their number. */
  stream?: BlockStream | undefined;
  /** The order of the blocks, each of a source, in place of the recipe's shuffling; see lib/methods. */
  sampler?: SourceSampler | undefined;
  /** Fills rows of unequal length; wherever it stands there is no label. */
  padId: number;
  /** Where the model is. */
  device: Device;
  /** What the backward pass computes again; default: the recipe's, else whole blocks. */
  checkpointing?: Checkpointing;
  /** How many micro-batches of a window may be computed as one; default: all with merge_micro_batches, else one. */
  batchesAtOnce?: number;
  /** What records micro-steps with cuda_graphs; default: the device's own. */
  recorder?: GraphRecorder;
  /** Writes the adapter or the model, and whatever else belongs into every checkpoint, into a folder. */
  save(dir: string): void;
  /** The same where processes keep a part of the model each; default: rank 0 gathers it, and saves. */
  saveDivided?: DividedSaving;
  /** A verified checkpoint whose weights the model already has. */
  resume?: string;
  /** Follows the run. */
  onEvent?: (event: TrainEvent) => void;
  /** What the recipe adds for incremental pre-training, asked in this order. */
  methods?: readonly TrainingMethod[];
  /** Told of what happens in the loop, and asked after each step; in this order. */
  callbacks?: readonly TrainerCallback[];
  /** What several processes change; default: there is one. */
  strategy?: Strategy;
  /** Asked between blocks of a model: true ends the run after saving the last finished step. */
  isAborted?: () => boolean;
}
