// adapter_config.json as PEFT 0.18.1 writes it: written, read, and refused where it asks for what is not supported.

import { UserError } from "../errors.js";
import type { LoraConfig } from "./lora.js";
import { isPissa } from "./pissa.js";

/** PEFT's file, as far as it is used here. */
export interface AdapterConfig extends Omit<LoraConfig, "targets"> {
  /** `r`: the rank of the update. */
  rank: number;
  /** `lora_alpha`: the scaling is alpha / rank, or alpha / sqrt(rank) with `rankStabilized`. */
  alpha: number;
  /** `lora_dropout`, in [0, 1). */
  dropout: number;
  /** `target_modules`: names, an expression for whole paths, or every Linear but the head. */
  targets: readonly string[] | RegExp | "all";
  /** `modules_to_save`: modules trained whole; empty for none. */
  modulesToSave: readonly string[];
  /** `base_model_name_or_path`, where the file has one. */
  baseModel: string | undefined;
}

/** The object for adapter_config.json: every key that PEFT 0.18.1 writes, in its order. `targets` as resolved. */
export function adapterConfigJson(
  config: LoraConfig | AdapterConfig,
  targets: readonly string[] | string,
  baseModel: string | undefined,
): Record<string, unknown> {
  return {
    alora_invocation_tokens: null,
    alpha_pattern: {},
    arrow_config: null,
    auto_mapping: null,
    base_model_name_or_path: baseModel ?? null,
    bias: "none",
    corda_config: null,
    ensure_weight_tying: false,
    eva_config: null,
    exclude_modules: null,
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: config.init ?? true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: config.layers ?? null,
    loftq_config: {},
    lora_alpha: config.alpha || 2 * config.rank,
    lora_bias: false,
    lora_dropout: config.dropout ?? 0,
    megatron_config: null,
    megatron_core: "megatron.core",
    modules_to_save: config.modulesToSave?.length ? config.modulesToSave : null,
    peft_type: "LORA",
    peft_version: "0.18.1",
    qalora_group_size: 16,
    r: config.rank,
    rank_pattern: {},
    revision: null,
    target_modules: targets,
    target_parameters: null,
    task_type: "CAUSAL_LM",
    trainable_token_indices: config.tokenIndices ?? null,
    use_dora: config.dora ?? false,
    use_qalora: false,
    use_rslora: config.rankStabilized ?? false,
  };
}

/** Keys that must be empty (null, false, "", [] or {}) because they change what the adapter computes. */
const REFUSED = [
  "alora_invocation_tokens", "alpha_pattern", "arrow_config", "exclude_modules", "fan_in_fan_out", "layer_replication",
  "layers_pattern", "lora_bias", "rank_pattern", "target_parameters", "use_qalora",
]; // biome-ignore format: a list to read

/** Beyond it no model has a layer that wide, and memory would be taken for a damaged number. */
const MOST_RANK = 2 ** 16;

const MERGE = "merge the adapter with PEFT (merge_and_unload) and use the merged model";

/** Checks a parsed adapter_config.json. Throws UserError, one line with the file and the key. */
export function parseAdapterConfig(raw: unknown, file: string): AdapterConfig {
  if (typeof raw !== "object" || raw === null || Array.isArray(raw))
    throw new UserError(`${file}: a JSON object is needed`);
  const json = raw as Record<string, unknown>;
  const fail = (key: string, why: string): never => {
    throw new UserError(`${file}: ${key}: ${why}`);
  };
  if (json["peft_type"] !== "LORA")
    fail("peft_type", `${JSON.stringify(json["peft_type"])} is not supported; only LORA is; ${MERGE}`);
  for (const key of REFUSED)
    if (!isEmpty(json[key])) fail(key, `${JSON.stringify(json[key])} is not supported; ${MERGE}`);
  if ((json["bias"] ?? "none") !== "none")
    fail("bias", `${JSON.stringify(json["bias"])} is not supported; only "none" is; ${MERGE}`);
  const init = json["init_lora_weights"] ?? true;
  if (typeof init === "string" && init !== "gaussian" && !isPissa(init)) {
    fail(
      "init_lora_weights",
      `"${init}" changes the base weights; convert the adapter to plain LoRA with PEFT first`,
    );
  }
  const number = (key: string, fallback: number, ok: (value: number) => boolean): number => {
    const value = json[key] ?? fallback;
    return typeof value === "number" && ok(value)
      ? value
      : fail(key, `${JSON.stringify(value)} is not a valid number`);
  };
  const rank = number("r", 8, (r) => Number.isInteger(r) && r > 0 && r <= MOST_RANK);
  const saved = json["modules_to_save"] ?? [];
  if (!isNames(saved)) return fail("modules_to_save", "a list of names is needed");
  const layers = parseLayers(json["layers_to_transform"], fail);
  const tokenIndices = parseIndices(json["trainable_token_indices"], fail);
  return {
    rank,
    alpha: number("lora_alpha", 8, Number.isFinite),
    dropout: number("lora_dropout", 0, (p) => p >= 0 && p < 1),
    targets: parseTargets(json["target_modules"], fail),
    modulesToSave: saved,
    ...(layers !== undefined && { layers }),
    ...(tokenIndices !== undefined && { tokenIndices }),
    rankStabilized: json["use_rslora"] === true,
    dora: json["use_dora"] === true,
    init: isPissa(init) ? init : true,
    baseModel:
      typeof json["base_model_name_or_path"] === "string" ? json["base_model_name_or_path"] : undefined,
  };
}

/** Numbers of layers, or one of them. */
function parseLayers(value: unknown, fail: (key: string, why: string) => never): number[] | undefined {
  if (value === null || value === undefined) return undefined;
  const layers = Array.isArray(value) ? value : [value];
  if (layers.length > 0 && layers.every((layer) => Number.isInteger(layer) && layer >= 0)) return layers;
  return fail("layers_to_transform", "a list of layers' numbers is needed");
}

/** Token ids of the embedding, or of tables by their names. */
function parseIndices(
  value: unknown,
  fail: (key: string, why: string) => never,
): AdapterConfig["tokenIndices"] {
  if (isEmpty(value)) return undefined;
  const tables = Array.isArray(value) ? { embed_tokens: value as unknown } : (value as object);
  for (const ids of typeof tables === "object" ? Object.values(tables) : [undefined])
    if (!Array.isArray(ids) || !ids.every((id) => Number.isInteger(id) && id >= 0))
      return fail("trainable_token_indices", "a list of token ids is needed, or one for each table");
  return tables as NonNullable<AdapterConfig["tokenIndices"]>;
}

/** A list of names, or a regular expression for the whole path, or "all-linear". */
function parseTargets(value: unknown, fail: (key: string, why: string) => never): AdapterConfig["targets"] {
  if (isNames(value) && value.length > 0) return value;
  if (value === "all-linear") return "all";
  if (typeof value !== "string")
    return fail("target_modules", "a list of names or a regular expression is needed");
  try {
    return new RegExp(`^(?:${value})$`);
  } catch {
    return fail(
      "target_modules",
      `${JSON.stringify(value)} is not a regular expression that is understood here`,
    );
  }
}

function isNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((name) => typeof name === "string");
}

function isEmpty(value: unknown): boolean {
  return !value || (typeof value === "object" && Object.keys(value).length === 0);
}
