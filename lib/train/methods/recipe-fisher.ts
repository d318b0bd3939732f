// The Fisher information of a recipe: taken from its file, or estimated on its general corpus and written there. What
// it is and what its file looks like: see lib/methods.
import { existsSync } from "node:fs";
import path from "node:path";
import type { Recipe } from "../../config/index.js";
import {
  type Batch,
  batchOf,
  type DatasetHub,
  prepareTrainingData,
  type Tokenizer,
} from "../../data/index.js";
import { messageOf, UserError } from "../../errors.js";
import type { TrainEvent } from "../../events.js";
import { makeFolder } from "../../files/make-folder.js";
import { writeError } from "../../files/output-file.js";
import {
  estimateFisher,
  type FisherRanks,
  type FisherSettings,
  loadFisher,
  saveFisher,
} from "../../methods/index.js";
import type { CausalModel } from "../../models/causal-model.js";
import { headLoss, nextTokenLabels } from "../../step/loss.js";
import { type Device, type DType, isHost, type Tensor } from "../../torch/index.js";

/** What a recipe's Fisher information is taken from. */
export interface FisherSource {
  recipe: Recipe;
  /** Computes with its base weights alone inside `asBase`. */
  model: CausalModel;
  asBase<T>(body: () => T): T;
  /** {@link fingerprint} of the base weights. */
  fingerprint: string;
  /** Base weights that it is wanted for, by name. */
  weights: ReadonlyMap<string, Tensor>;
  tokenizer: Tokenizer;
  hub: DatasetHub;
  device: Device;
  compute: DType | undefined;
  emit(event: TrainEvent): void;
  signal: AbortSignal | undefined;
  /** Processes that estimate it together. */
  ranks: FisherRanks;
}

/** The file of a recipe's Fisher information. */
export function fisherFile({ ewc_fisher, output_dir }: Recipe): string {
  return ewc_fisher ?? path.join(output_dir, "fisher.safetensors");
}

/**
 * Fisher information by weight, on the device. A file that the recipe names must fit; the one of output_dir is
 * replaced where it does not. Where some process has no file, all estimate.
 * @throws UserError for a file that does not fit, and for a corpus without a block
 */
export async function loadOrEstimateFisher(source: FisherSource): Promise<Map<string, Tensor>> {
  const { recipe, weights, emit, device, ranks } = source;
  const file = fisherFile(recipe);
  const settings = settingsOf(source);
  const load = (): Map<string, Tensor> => {
    const found = loadFisher(file, settings, weights.keys());
    return isHost(device) ? found : new Map([...found].map(([name, values]) => [name, values.to(device)]));
  };
  const find = (): Map<string, Tensor> | undefined => {
    if (!existsSync(file)) return undefined;
    try {
      return load();
    } catch (error) {
      if (recipe.ewc_fisher !== null || !(error instanceof UserError)) throw error;
      return undefined;
    }
  };
  const found = find();
  const [having] = await ranks.sum([Number(found !== undefined)]);
  if (found !== undefined && having === ranks.size) return found;
  const { save, dispose } = await estimate(source, file, settings);
  try {
    const isMain = ranks.rank === 0;
    if (isMain && found === undefined) save();
    await ranks.sum([0]); // rank 0's file is there, on the disks that it sees
    if (!isMain && find() === undefined) save();
  } finally {
    dispose();
  }
  emit({ type: "file", path: file, what: "Fisher information" });
  return load();
}

type Wanted = Partial<FisherSettings> & Pick<FisherSettings, "model">;

function settingsOf({ recipe, fingerprint }: FisherSource): Wanted {
  if (recipe.ewc_dataset === null || recipe.ewc_samples === null) return { model: fingerprint };
  const how = recipe.packing ? (recipe.neat_packing ? "packed apart" : "packed") : "documents";
  return {
    model: fingerprint,
    datasets: recipe.ewc_dataset.join(),
    samples: recipe.ewc_samples,
    blocks: `${how}, ${recipe.cutoff_len} tokens`,
  };
}

interface Estimated {
  save(): void;
  dispose(): void;
}

async function estimate(source: FisherSource, file: string, wanted: Wanted): Promise<Estimated> {
  const { model, asBase, weights, compute, device, emit, signal, ranks } = source;
  const { datasets, samples, blocks } = wanted;
  if (datasets === undefined || samples === undefined || blocks === undefined)
    throw new UserError(
      `ewc_fisher: there is no file ${file}; name one that is there, or set ewc_dataset to have it estimated`,
    );
  const batches = await batchesOf(source, samples);
  try {
    makeFolder(path.dirname(file));
  } catch (error) {
    throw writeError(file, error, "ewc_fisher");
  }
  const text = `estimating Fisher information on ${batches.length} blocks of ${datasets}, kept in ${file}`;
  emit({ type: "message", level: "info", text });
  const fisher = await estimateFisher(model, weights, batches, {
    compute,
    asBase,
    ranks,
    lossOf: (hidden, { labels, batch, length }) =>
      headLoss(model, hidden, nextTokenLabels({ labels, batch, length }, device), 1, compute),
    async onBlock() {
      await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
    },
  });
  return {
    save: () => saveFisher(file, fisher, { model: wanted.model, datasets, samples, blocks }),
    dispose() {
      for (const values of fisher.values.values()) values.dispose();
    },
  };
}

/** A number of blocks of the general corpus, spread evenly over it, each a batch. */
async function batchesOf(
  { recipe, tokenizer, hub, signal }: FisherSource,
  samples: number,
): Promise<Batch[]> {
  const { cutoff_len, packing, neat_packing, dataset_dir, max_samples, template, language_tag, seed } =
    recipe;
  const data = await prepareTrainingData(
    {
      dataset: recipe.ewc_dataset,
      preprocessing_batch_size: recipe.preprocessing_batch_size,
      ...{ cutoff_len, packing, neat_packing, dataset_dir, max_samples, template, language_tag, seed },
    },
    tokenizer,
    { hub, ...(signal !== undefined && { signal }) },
  ).catch((error: unknown) => {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(messageOf(error).replace(/^dataset:/, "ewc_dataset:"), { cause: error });
  });
  const { blocks } = data;
  const count = Math.min(samples, blocks.length);
  return Array.from({ length: count }, (_, i) =>
    batchOf(blocks, [Math.floor((i * blocks.length) / count)], tokenizer.padId),
  );
}
