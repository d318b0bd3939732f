// curriculum_by: loss. Scores every block by the model's loss before training, once, and gives the scores to the order of
// the run. A checkpoint keeps them: the model that a resumed run begins with is not the one that was scored.
import { existsSync } from "node:fs";
import path from "node:path";
import { type BlockSource, batchOf, IGNORED_LABEL, type TokenBlocks } from "../../data/index.js";
import { UserError } from "../../errors.js";
import { quantiles, type RunOrder, type TrainingMethod } from "../../methods/index.js";
import type { CausalModel } from "../../models/causal-model.js";
import { evaluateBatch } from "../../step/micro-step.js";
import {
  type Device,
  type DType,
  keep,
  loadSafetensors,
  saveSafetensors,
  scope,
  tensor,
} from "../../torch/index.js";
import type { Strategy } from "../strategy/strategy.js";

const FILE = "curriculum_losses.safetensors";
const NAME = "loss";

/** What a {@link LossCurriculum} works with. */
export interface LossCurriculumOptions {
  order: RunOrder;
  sources: readonly BlockSource[];
  blocks: TokenBlocks;
  model: CausalModel;
  padId: number;
  device: Device;
  compute: DType | undefined;
  signal: AbortSignal | undefined;
  /** The run's processes, each of which scores its share. */
  ranks: Pick<Strategy, "rank" | "size" | "isTogether" | "add">;
  say(line: string): void;
}

/** The order of a run by the losses of its blocks. */
export class LossCurriculum implements TrainingMethod {
  readonly #options: LossCurriculumOptions;
  #losses = new Float32Array(0);

  constructor(options: LossCurriculumOptions) {
    this.#options = options;
  }

  /** Scores every block, or reads the scores of a checkpoint, and orders the run by them. */
  async begin(resumed: string | undefined): Promise<void> {
    const { order, sources } = this.#options;
    this.#losses = resumed === undefined ? await this.#score() : this.#read(resumed);
    order.rank(quantiles(sources, this.#losses));
  }

  /** Writes the scores into a checkpoint. */
  save(dir: string): void {
    scope(() => saveSafetensors(path.join(dir, FILE), new Map([[NAME, tensor(this.#losses)]])));
  }

  /** The mean loss of each block; those that are replayed are not ordered, and score 0. */
  async #score(): Promise<Float32Array<ArrayBuffer>> {
    const { blocks, model, sources, padId, device, compute, signal, ranks, say } = this.#options;
    const scored = sources.filter(({ replay }) => !replay);
    const count = scored.reduce((sum, source) => sum + source.blocks, 0);
    say(`curriculum: scoring ${count.toLocaleString("en-US")} blocks by the model's loss`);
    const losses = new Float32Array(blocks.length);
    const order = scored.flatMap(({ first, blocks: own }) =>
      Array.from({ length: own }, (_, at) => first + at),
    );
    model.eval();
    try {
      for (let at = ranks.rank; at - ranks.rank < order.length; at += ranks.size) {
        if (at >= order.length && !ranks.isTogether) break;
        // beside the others' last ones, where a pass takes all processes: counted by whoever has it
        const block = order[Math.min(at, order.length - 1)] as number;
        const batch = batchOf(blocks, [block], padId);
        const labels = batch.labels.reduce((sum, label) => sum + (label === IGNORED_LABEL ? 0 : 1), 0);
        const loss = evaluateBatch(model, batch, { device, compute, scale: 1 / Math.max(1, labels) });
        if (at < order.length) losses[block] = loss;
        signal?.throwIfAborted();
        await new Promise((resolve) => setImmediate(resolve)); // a signal can fire here
      }
    } finally {
      model.train();
    }
    const all = keep(tensor(losses));
    await ranks.add(all);
    const shared = Float32Array.from(all.toArray() as Float32Array);
    all.dispose();
    return shared;
  }

  #read(dir: string): Float32Array<ArrayBuffer> {
    const file = path.join(dir, FILE);
    const wrong = (what: string) =>
      new UserError(`${file}: ${what}; resume with the recipe that wrote the checkpoint, or start over`);
    if (!existsSync(file))
      throw wrong("is missing, and curriculum_by: loss needs the losses before training");
    const losses = scope(() => loadSafetensors(file).get(NAME)?.toArray() as Float32Array | undefined);
    const { length } = this.#options.blocks;
    if (losses?.length !== length)
      throw wrong(`scores ${losses?.length ?? 0} blocks, and the data now has ${length}`);
    return Float32Array.from(losses);
  }
}
