// Mistakes about what to train, adapters, and the folders that are written.
import { chmodSync } from "node:fs";
import { ASIDE, type Json, type Mistake, type Room } from "./room.js";

const EXPORT = ["export", "recipe.yaml", "export_dir=merged"];
const ADAPTER = { ...ASIDE, adapter_name_or_path: "adapter" };

/** An adapter folder for the tiny model. */
function adapter(room: Room, config: Json = {}): void {
  const q = { dtype: "F32", shape: [4, 32], data_offsets: [0, 512] };
  const b = { dtype: "F32", shape: [64, 4], data_offsets: [512, 1536] };
  const header: Json = {};
  const layers = 2;
  for (let layer = 0; layer < layers; layer++) {
    const key = `base_model.model.model.layers.${layer}.self_attn.q_proj`;
    const at = (offsets: number[]) => offsets.map((offset) => offset + layer * 1536);
    header[`${key}.lora_A.weight`] = { ...q, data_offsets: at(q.data_offsets) };
    header[`${key}.lora_B.weight`] = { ...b, data_offsets: at(b.data_offsets) };
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  room.write("adapter/adapter_model.safetensors", Buffer.concat([length, text, Buffer.alloc(layers * 1536)]));
  const plain = { peft_type: "LORA", r: 4, lora_alpha: 8, target_modules: ["q_proj"], ...config };
  room.write("adapter/adapter_config.json", JSON.stringify(plain));
}

type Entry = { dtype: string; shape: number[]; data_offsets: [number, number] };
const entry = (header: Json, name: string) => header[name] as Entry;

/** What an earlier run left. */
function earlier(room: Room): void {
  room.write("out/adapter_model.safetensors", "weights of yesterday");
  room.write("out/trainer_log.jsonl", "{}\n");
}

export const METHODS: Mistake[] = [
  {
    name: "a lora_target that matches nothing",
    keys: { lora_target: "query" },
    line: /lora_target: no linear layer is called query; choose from q_proj, .*, or all/,
  },
  {
    name: "an additional_target that is none",
    keys: { additional_target: "heads" },
    line: /additional_target: no module is called heads; choose from /,
  },
  {
    name: "a freeze module that does not exist",
    keys: { finetuning_type: "freeze", freeze_trainable_modules: "attention" },
    line: /freeze_trainable_modules: "attention" is not found; choose from .*self_attn.*all/,
  },
  {
    name: "freeze_extra_modules that do not exist",
    keys: { finetuning_type: "freeze", freeze_extra_modules: "head" },
    line: /freeze_extra_modules: "head" is not found; choose from /,
  },
  {
    name: "chat with no such adapter",
    process: true,
    keys: ASIDE,
    args: ["chat", "--model", "model", "--adapter", "adaptor", "--prompt", "x"],
    line: /adapter_name_or_path: there is no folder adaptor; /,
  },
  {
    name: "a model folder as adapter",
    args: ["chat", "--model", "model", "--adapter", "model", "--prompt", "x"],
    line: /model\/adapter_config\.json is missing; .*adapter/,
  },
  {
    name: "an adapter of another model",
    make: (room) => {
      adapter(room);
      room.tensors("adapter/adapter_model.safetensors", (header, bytes) => {
        const key = Object.keys(header)[0];
        entry(header, key).shape = [8, 16];
        return { header, bytes };
      });
    },
    keys: ADAPTER,
    args: EXPORT,
    line: /adapter\/adapter_model\.safetensors: .*lora_A\.weight: shape \[8,16\] where the model asks for \[4,32\]; /,
  },
  {
    name: "an adapter with a layer too many",
    make: (room) => {
      adapter(room);
      room.json("adapter/adapter_config.json", { target_modules: ["k_proj"] });
    },
    keys: ADAPTER,
    args: EXPORT,
    line: /adapter\/adapter_model\.safetensors: unexpected tensor "base_model.*q_proj.*"; /,
  },
  {
    name: "an adapter of QA-LoRA",
    make: (room) => adapter(room, { use_qalora: true }),
    keys: ADAPTER,
    args: EXPORT,
    line: /adapter\/adapter_config\.json: use_qalora: true is not supported; merge the adapter with PEFT/,
  },
  {
    name: "an adapter that is not LoRA",
    make: (room) => adapter(room, { peft_type: "IA3" }),
    keys: ADAPTER,
    args: EXPORT,
    line: /adapter\/adapter_config\.json: peft_type: "IA3" is not supported; only LORA/,
  },
  {
    name: "broken adapter_config.json",
    make: (room) => {
      adapter(room);
      room.write("adapter/adapter_config.json", '{\n"r": 4\n"lora_alpha": 8}');
    },
    keys: ADAPTER,
    args: EXPORT,
    line: /adapter\/adapter_config\.json:3: .*before "lora_alpha"/,
  },
  {
    name: "an adapter without its weights",
    make: (room) => {
      adapter(room);
      room.remove("adapter/adapter_model.safetensors");
    },
    keys: ADAPTER,
    args: EXPORT,
    line: /adapter\/adapter_model\.safetensors: missing; /,
  },
];

export const PLACES: Mistake[] = [
  {
    name: "output_dir is a file",
    process: true,
    make: (room) => room.write("out", "a file"),
    line: /cannot write out: a file is in the way of a folder: choose another output_dir/,
  },
  {
    name: "output_dir may not be written",
    process: true,
    make: (room) => {
      room.write("closed/x", "");
      chmodSync(room.at("closed"), 0o555);
    },
    keys: { output_dir: "closed/out" },
    line: /cannot write closed\/out: permission denied: choose an output_dir/,
  },
  {
    name: "output_dir holds an earlier run",
    make: earlier,
    line: /output_dir: out holds adapter_model\.safetensors of an earlier run; choose another folder or set overwrite_output_dir: true/,
  },
  {
    name: "a bad corpus over an earlier run",
    make: (room) => {
      earlier(room);
      room.corpus("{");
    },
    keys: { overwrite_output_dir: true },
    line: /data\/one\.jsonl:1: malformed JSON/,
  },
  {
    name: "resuming from no folder",
    keys: { resume_from_checkpoint: "out/checkpoint-5" },
    line: /resume_from_checkpoint: there is no folder out\/checkpoint-5/,
  },
  {
    name: "resume_from_checkpoint: true without one",
    keys: { resume_from_checkpoint: true },
    line: /resume_from_checkpoint: there is no complete checkpoint in out; /,
  },
  {
    name: "resuming from an incomplete checkpoint",
    make: (room) => room.write("checkpoint-5/adapter_model.safetensors", "x"),
    keys: { resume_from_checkpoint: "checkpoint-5" },
    line: /checkpoint-5 is not a complete checkpoint of qwen-pt \(no manifest\.json\); resume from another/,
  },
  {
    name: "resuming from LLaMA-Factory's checkpoint",
    make: (room) => room.write("checkpoint-5/optimizer.pt", "x"),
    keys: { resume_from_checkpoint: "checkpoint-5" },
    line: /checkpoint-5 is a checkpoint of LLaMA-Factory, whose optimizer state is a pickle that is not read here; /,
  },
  {
    name: "export into a file",
    make: (room) => {
      adapter(room);
      room.write("merged", "a file");
    },
    keys: ADAPTER,
    args: EXPORT,
    line: /cannot write merged: a file is in the way of a folder: choose another export_dir/,
  },
  {
    name: "a full disk while training",
    process: true,
    limit: "ulimit -f 20; trap '' XFSZ",
    line: /out\/adapter_model\.safetensors.*(full|too large)/i,
    leaves: ["out", "out/trainer_log.jsonl"],
  },
  {
    name: "a full disk while exporting",
    process: true,
    limit: "ulimit -f 40; trap '' XFSZ",
    make: (room) => adapter(room),
    keys: ADAPTER,
    args: EXPORT,
    line: /merged.*model\.safetensors.*(full|too large)/i,
  },
  {
    name: "a full disk over an earlier export",
    process: true,
    limit: "ulimit -f 40; trap '' XFSZ",
    make: (room) => {
      adapter(room);
      room.write("merged/model.safetensors", "of yesterday");
      room.write("merged/config.json", "{}");
    },
    keys: ADAPTER,
    args: EXPORT,
    line: /merged.*model\.safetensors.*(full|too large)/i,
  },
];
