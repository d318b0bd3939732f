// The adapter of a LoRA recipe: a new one, or a finished one trained further, with others merged before it; and what
// PiSSA leaves beside it. How an adapter computes: lib/peft.
import path from "node:path";
import type { Recipe } from "../config/index.js";
import { type FamilyModel, familyOf, type ModelConfig, type Shards } from "../models/index.js";
import {
  type AdapterConfig,
  adapterState,
  addLora,
  type LoraConfig,
  loadAdapter,
  loadAdapterState,
  mergeAdapter,
  RECIPE_WORDS,
  saveConverted,
  type TokenIndices,
  writeAdapter,
} from "../peft/index.js";
import { keep, noGrad, type Tensor } from "../torch/index.js";

/** Writes a model of which no process has all, by shards of named parameters. */
export interface ModelShards {
  /** Writes shard `at`, which is in memory, into a folder; gives the file's name. */
  save(dir: string, shards: Shards, at: number): string;
  /** Makes one model in `dir` of the files that all processes have written into `from`. */
  join(from: string, dir: string, shards: Shards): void;
}

/** How a model's weights are written. The trainer knows no more of formats. */
export interface Weights {
  /** Writes the adapter or the model into a folder. */
  save(dir: string): void;
  /** The same of a model in parts; undefined where what is written is what is trained. */
  readonly shards?: ModelShards;
  /** Takes the weights of a checkpoint; there is no training afterwards. */
  load(dir: string): void;
  /** Writes what belongs beside the final weights, and returns the folders. */
  finish?(dir: string): string[];
}

/** A recipe, and the rows of tables that are trained beside its adapter. */
export interface AdaptedRecipe extends Recipe {
  readonly tokenIndices?: TokenIndices;
}

/** The recipe's new adapter for a model of this configuration. */
export function loraConfig(recipe: AdaptedRecipe, model: ModelConfig): LoraConfig {
  const all = recipe.lora_target.length === 1 && recipe.lora_target[0] === "all";
  return {
    rank: recipe.lora_rank,
    alpha: recipe.lora_alpha,
    dropout: recipe.lora_dropout,
    targets: all ? (familyOf(model).loraTargets ?? "all") : recipe.lora_target,
    ...(recipe.lora_layers !== null && { layers: recipe.lora_layers }),
    modulesToSave: recipe.additional_target ?? [],
    ...(recipe.tokenIndices !== undefined && { tokenIndices: recipe.tokenIndices }),
    rankStabilized: recipe.use_rslora,
    dora: recipe.use_dora,
    ...(recipe.pissa_init && {
      init: recipe.pissa_iter === -1 ? "pissa" : `pissa_niter_${recipe.pissa_iter}`,
    }),
    savedDtype: recipe.pure_bf16 ? "bfloat16" : "float32",
  };
}

/**
 * Wraps a model with the recipe's adapter; `base` is what the adapter calls its base model, `resume` is a checkpoint whose adapter it takes over. Draws and merges in
 * LLaMA-Factory's order.
 * @throws UserError where an adapter does not fit the model
 */
export function adaptModel(
  model: FamilyModel,
  recipe: AdaptedRecipe,
  base: string,
  resume: string | undefined,
): Weights {
  const given = recipe.adapter_name_or_path ?? [];
  const merged = recipe.create_new_adapter ? given : given.slice(0, -1);
  for (const dir of merged) {
    loadAdapter(model, dir);
    mergeAdapter(model);
  }
  const continued = recipe.create_new_adapter ? undefined : given.at(-1);
  let config: LoraConfig | AdapterConfig = loraConfig(recipe, model.config);
  if (continued === undefined) addLora(model, config, RECIPE_WORDS);
  else config = loadAdapter(model, continued, { trainable: true, savedDtype: config.savedDtype });
  const first = recipe.pissa_convert && recipe.pissa_init ? copyState(model) : undefined;
  if (resume !== undefined) loadAdapterState(model, resume);
  return {
    save: (dir) => writeAdapter(model, dir, config, base),
    load: (dir) => loadAdapterState(model, dir),
    ...(first !== undefined && { finish: (dir: string) => savePissa(model, config, base, first, dir) }),
  };
}

function copyState(model: FamilyModel): Map<string, Tensor> {
  return new Map(
    [...adapterState(model)].map(([key, tensor]) => [key, noGrad(() => keep(tensor.detach().clone()))]),
  );
}

/** LLaMA-Factory's three folders: the first adapter, the trained one, and their difference as plain LoRA. */
function savePissa(
  model: FamilyModel,
  config: LoraConfig | AdapterConfig,
  base: string,
  first: ReadonlyMap<string, Tensor>,
  dir: string,
): string[] {
  const plain = { ...config, init: true as const };
  const folders = ["pissa_init", "pissa_backup", "pissa_converted"].map((name) => path.join(dir, name));
  const [initial, backup, converted] = folders as [string, string, string];
  writeAdapter(model, initial, plain, base, first);
  writeAdapter(model, backup, plain, base);
  saveConverted(model, converted, plain, base, first);
  return folders;
}
