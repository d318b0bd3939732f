// What of a model is divided, by the words of fsdp and by DeepSpeed's files, LLaMA-Factory's own among them; and the lines
// that refuse what cannot be.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, it } from "vitest";
import { type RecipeInput, resolveRecipe, shardingOf } from "../../lib/config/index.js";

const dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-sharding-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const resolve = (keys: RecipeInput) =>
  resolveRecipe({ model_name_or_path: "m", dataset: "a", nproc_per_node: 2, ...keys } as RecipeInput);
const level = (keys: RecipeInput) => shardingOf(resolve(keys).recipe)?.level;

/** LLaMA-Factory 0.9.5, examples/deepspeed/ds_z*_config.json, in what differs between them. */
function deepspeedFile(stage: number, more: Record<string, unknown> = {}): string {
  const file = path.join(dir, `ds_z${stage}${Object.keys(more).join("_")}.json`);
  const auto = { enabled: "auto" };
  const settings = {
    train_batch_size: "auto",
    train_micro_batch_size_per_gpu: "auto",
    gradient_accumulation_steps: "auto",
    gradient_clipping: "auto",
    zero_allow_untested_optimizer: true,
    fp16: {
      ...auto,
      loss_scale: 0,
      loss_scale_window: 1000,
      initial_scale_power: 16,
      hysteresis: 2,
      min_loss_scale: 1,
    },
    bf16: auto,
    zero_optimization: {
      stage,
      overlap_comm: stage === 3,
      contiguous_gradients: true,
      sub_group_size: 1e9,
      reduce_bucket_size: "auto",
      stage3_prefetch_bucket_size: "auto",
      stage3_param_persistence_threshold: "auto",
      stage3_max_live_parameters: 1e9,
      stage3_max_reuse_distance: 1e9,
      stage3_gather_16bit_weights_on_model_save: true,
    },
    ...more,
  };
  writeFileSync(file, JSON.stringify(settings));
  return file;
}

it("the words of fsdp", () => {
  expect(level({})).toBeUndefined();
  expect(level({ fsdp: "full_shard auto_wrap" })).toBe("full");
  expect(level({ fsdp: true })).toBe("full");
  expect(level({ fsdp: "auto_wrap" })).toBe("full");
  expect(level({ fsdp: "shard_grad_op,auto_wrap" })).toBe("gradients");
  expect(level({ fsdp: ["no_shard"] })).toBeUndefined();
  expect(level({ fsdp: "" })).toBeUndefined();
  expect(level({ fsdp: "full_shard", fsdp_config: { reshard_after_forward: false } })).toBe("gradients");
});

it("what is fetched early, and what is computed again", () => {
  const keys = {
    fsdp: "full_shard",
    fsdp_config: {
      fsdp_backward_prefetch: "BACKWARD_PRE",
      forward_prefetch: true,
      activation_checkpointing: true,
      transformer_layer_cls_to_wrap: "Qwen3DecoderLayer",
      state_dict_type: "FULL_STATE_DICT",
    },
  } as const;
  const { recipe } = resolve(keys);
  expect(shardingOf(recipe)?.prefetch).toEqual({ forward: true, backward: true });
  expect(recipe.gradient_checkpointing).toBe(true);
  const none = { forward: false, backward: false };
  expect(shardingOf(resolve({ fsdp: "full_shard" }).recipe)?.prefetch).toEqual(none);
});

it("DeepSpeed's stages, and what a file says of the recipe", () => {
  const levels = [0, 1, 2, 3].map((stage) => level({ deepspeed: deepspeedFile(stage) }));
  expect(levels).toEqual([undefined, "gradients", "gradients", "full"]);
  expect(level({ deepspeed: { zero_optimization: { stage: 2 }, gradient_clipping: 1 } })).toBe("gradients");
  expect(level({ bf16: true, deepspeed: deepspeedFile(3, { bf16: { enabled: true } }) })).toBe("full");
});

it("with one process nothing is divided, and a line says so", () => {
  const { recipe, notes } = resolve({ fsdp: "full_shard", nproc_per_node: 1 });
  expect(shardingOf(recipe)).toBeUndefined();
  expect(notes).toEqual(["recipe: fsdp has no effect with one process; start several with nproc_per_node"]);
});

it.each<[RecipeInput, RegExp]>([
  [{ fsdp: "full_shart" }, /^recipe: fsdp: expected words of full_shard, .*, received "full_shart"$/],
  [{ fsdp: "full_shard shard_grad_op" }, /fsdp: expected one of full_shard, shard_grad_op, no_shard, with/],
  [{ fsdp: "hybrid_shard" }, /^recipe: fsdp: "hybrid_shard" is refused: hybrid_shard is not built; choose/],
  [{ fsdp: "full_shard offload" }, /offload is not built/],
  [
    { fsdp: "full_shard", fsdp_config: "none.json" },
    /^recipe: fsdp_config: there is no file none.json; name/,
  ],
  [
    { fsdp: "full_shard", fsdp_config: { mixed_precision_policy: "x" } },
    /^recipe: fsdp_config: mixed_precision_policy: "x" is refused: not known here; remove it$/,
  ],
  [{ fsdp: "full_shard", fsdp_config: { offload_params: true } }, /offload_params: true is refused: weights/],
  [
    { fsdp: "full_shard", fsdp_config: { forward_prefetch: 1 } },
    /forward_prefetch: 1 is refused: expected one/,
  ],
  [
    { fsdp: "full_shard", fsdp_config: { activation_checkpointing: true }, gradient_checkpointing: false },
    /contradicts gradient_checkpointing: false/,
  ],
  [{ fsdp: "full_shard", deepspeed: { zero_optimization: { stage: 3 } } }, /deepspeed: it and fsdp divide/],
  [{ deepspeed: "none.json" }, /^recipe: deepspeed: there is no file none.json; name one that is there$/],
  [
    { deepspeed: { zero_optimization: { stage: 4 } } },
    /zero_optimization: stage: 4 is refused: expected one of 0/,
  ],
  [
    { deepspeed: { zero_optimization: { stage: 3, offload_param: { device: "cpu" } } } },
    /^recipe: deepspeed: zero_optimization: offload_param: {"device":"cpu"} is refused: weights and state stay/,
  ],
  [{ deepspeed: { optimizer: { type: "AdamW" } } }, /optimizer: .* is refused: the recipe says it \(optim/],
  [
    { gradient_accumulation_steps: 8, deepspeed: { gradient_accumulation_steps: 4 } },
    /the recipe's gradient_accumulation_steps says 8; write "auto"/,
  ],
  [
    { deepspeed: { bf16: { enabled: true } } },
    /bf16: .* is refused: the recipe's bf16 says false; write "auto"/,
  ],
  [{ deepspeed: { sparse_attention: {} } }, /sparse_attention: {} is refused: not known here/],
  [
    { fsdp: "full_shard", bf16_full_eval: true },
    /^recipe: bf16_full_eval: weights that are divided are not cast/,
  ],
])("%j is refused", (keys, line) => {
  expect(() => resolve(keys)).toThrow(line);
});
