// Mistakes in the model's folder: its place, config.json, tokenizer and weights.
import { readFileSync } from "node:fs";
import { ASIDE, type Json, type Mistake, type Room } from "./room.js";

/** The model's weights in two shards. */
function shards(room: Room): void {
  const whole = readFileSync(room.at("model/model.safetensors"));
  const size = Number(whole.readBigUInt64LE(0));
  const header = JSON.parse(whole.subarray(8, 8 + size).toString()) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  delete header.__metadata__;
  const names = Object.keys(header).sort((a, b) => header[a].data_offsets[0] - header[b].data_offsets[0]);
  const map: Record<string, string> = {};
  for (const [index, part] of [names.slice(0, 5), names.slice(5)].entries()) {
    const file = `model-0000${index + 1}-of-00002.safetensors`;
    const from = header[part[0]].data_offsets[0];
    const entries = part.map((name) => {
      map[name] = file;
      const [begin, end] = header[name].data_offsets;
      return [name, { ...header[name], data_offsets: [begin - from, end - from] }];
    });
    const text = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    const end = header[part[part.length - 1]].data_offsets[1];
    room.write(
      `model/${file}`,
      Buffer.concat([length, text, whole.subarray(8 + size + from, 8 + size + end)]),
    );
  }
  room.write("model/model.safetensors.index.json", JSON.stringify({ metadata: {}, weight_map: map }));
  room.remove("model/model.safetensors");
}

const NORM = "model.norm.weight";
type Entry = { dtype: string; shape: number[]; data_offsets: [number, number] };
const entry = (header: Json, name = NORM) => header[name] as Entry;

export const MODELS: Mistake[] = [
  {
    name: "no such model folder",
    process: true,
    keys: { model_name_or_path: "./models/Qwen3" },
    line: /model_name_or_path: there is no folder \.\/models\/Qwen3; it takes a folder/,
  },
  {
    name: "a model that was never fetched, without a network",
    process: true,
    keys: { model_name_or_path: "Qwen/Qwen3-0.6B" },
    env: { HF_HOME: "cache", HF_HUB_OFFLINE: "1" },
    line: /Qwen\/Qwen3-0\.6B: not in the cache \(.*models--Qwen--Qwen3-0\.6B\).* HF_HUB_OFFLINE forbids downloading; unset it/,
  },
  {
    name: "a hub that is not there",
    process: true,
    keys: ASIDE,
    args: ["chat", "--model", "Qwen/Qwen3-0.6B", "--prompt", "x"],
    env: { HF_HOME: "cache", HF_ENDPOINT: "http://127.0.0.1:9", HTTP_PROXY: "", http_proxy: "" },
    line: /Qwen\/Qwen3-0\.6B: .*http:\/\/127\.0\.0\.1:9 cannot be reached \(ECONNREFUSED\); .*HF_ENDPOINT/,
  },
  {
    name: "a mirror without its scheme",
    process: true,
    keys: { model_name_or_path: "Qwen/Qwen3-0.6B" },
    env: { HF_HOME: "cache", HF_ENDPOINT: "hf-mirror.com" },
    line: /HF_ENDPOINT: "hf-mirror\.com" is no address; write it such as https/,
  },
  {
    name: "a file as model",
    keys: { model_name_or_path: "model/config.json" },
    line: /model_name_or_path: model\/config\.json is a file; .*folder/,
  },
  {
    name: "a folder without config.json",
    make: (room) => room.remove("model/config.json"),
    line: /model\/config\.json is missing; .*model_name_or_path/,
  },
  {
    name: "another architecture",
    make: (room) =>
      room.json("model/config.json", { model_type: "llama", architectures: ["LlamaForCausalLM"] }),
    line: /model\/config\.json: model_type: "llama" is not supported; supported are dense Qwen3 models .*/,
  },
  {
    name: "a mixture of experts",
    process: true,
    make: (room) =>
      room.json("model/config.json", { model_type: "qwen3_moe", architectures: ["Qwen3MoeForCausalLM"] }),
    line: /model\/config\.json: model_type: "qwen3_moe" is not supported; supported are dense Qwen3 models .*/,
  },
  {
    name: "weights that AWQ quantized, beside a key for bitsandbytes'",
    keys: { quantization_bit: 4, finetuning_type: "lora" },
    make: (room) =>
      room.json("model/config.json", {
        quantization_config: {
          bits: 4,
          group_size: 128,
          quant_method: "awq",
          version: "gemm",
          zero_point: true,
        },
      }),
    line: /model\/config\.json: quantization_config: weights of AWQ are not read; take the model's original weights, with quantization_bit: 4/,
  },
  {
    name: "weights that GPTQ quantized",
    make: (room) =>
      room.json("model/config.json", {
        quantization_config: { bits: 4, group_size: 128, quant_method: "gptq", desc_act: false, sym: true },
      }),
    line: /model\/config\.json: quantization_config: weights of GPTQ are not read; take the model's original weights/,
  },
  {
    name: "broken config.json",
    make: (room) => room.write("model/config.json", '{\n  "model_type": "qwen3",\n  "vocab_size": \n}\n'),
    line: /model\/config\.json:4: /,
  },
  {
    name: "config.json without a field",
    make: (room) => room.json("model/config.json", { hidden_size: undefined }),
    line: /model\/config\.json: hidden_size: is missing; a number is needed/,
  },
  {
    name: "config.json with text for a number",
    make: (room) => room.json("model/config.json", { num_hidden_layers: "two" }),
    line: /model\/config\.json: num_hidden_layers: a number is needed, not "two"/,
  },
  {
    name: "no tokenizer.json",
    make: (room) => room.remove("model/tokenizer.json"),
    line: /model\/tokenizer\.json is missing; a model's folder holds/,
  },
  {
    name: "broken tokenizer.json",
    make: (room) => room.write("model/tokenizer.json", '{\n  "version": "1.0",\n  "model": {"vo'),
    line: /model\/tokenizer\.json:3: .*(cut short|again)/,
  },
  {
    name: "tokenizer.json whose added tokens are no list",
    make: (room) => room.json("model/tokenizer.json", { added_tokens: { "0": "a" } }),
    line: /model\/tokenizer\.json: added_tokens must be a list of tokens with an id and a content; copy/,
  },
  {
    name: "tokenizer.json whose merges join what the vocabulary lacks",
    process: true,
    make: (room) => {
      const { model } = JSON.parse(readFileSync(room.at("model/tokenizer.json"), "utf8")) as { model: Json };
      const merges = model["merges"] as [string, string][];
      const vocab = { ...(model["vocab"] as Json) };
      delete vocab[merges.at(-1)!.join("")];
      room.json("model/tokenizer.json", { model: { ...model, vocab } });
    },
    line: /model\/tokenizer\.json: model\.merges: entry \d+ needs ".+", which the vocabulary lacks; copy/,
  },
  {
    name: "tokenizer.json of another kind",
    make: (room) => room.write("model/tokenizer.json", "{}"),
    line: /model\/tokenizer\.json: is not a tokenizer: it has no model\.vocab; /,
  },
  {
    name: "a tokenizer larger than the embedding",
    make: (room) => room.json("model/config.json", { vocab_size: 300 }),
    line: /model: the tokenizer has \d+ tokens and the model's embedding 300 rows; use the tokenizer that belongs/,
  },
  {
    name: "no weights",
    make: (room) => room.remove("model/model.safetensors"),
    line: /model: no model\.safetensors and no model\.safetensors\.index\.json; /,
  },
  {
    name: "pickled weights",
    make: (room) => {
      room.remove("model/model.safetensors");
      room.write("model/pytorch_model.bin", "x");
    },
    line: /pytorch_model\.bin: pickled weights are not read; save the model as safetensors/,
  },
  {
    name: "truncated weights",
    process: true,
    make: (room) => room.tensors("model/model.safetensors", (_, bytes) => ({ bytes: bytes.subarray(0, -7) })),
    line: /model\/model\.safetensors: not a valid safetensors file: truncated: .* again/,
  },
  {
    name: "weights with bytes behind",
    make: (room) =>
      room.tensors("model/model.safetensors", (_, bytes) => ({
        bytes: Buffer.concat([bytes, Buffer.alloc(5)]),
      })),
    line: /5 bytes that belong to no tensor.*again/,
  },
  {
    name: "weights of zero bytes",
    make: (room) => room.write("model/model.safetensors", ""),
    line: /model\/model\.safetensors: not a valid safetensors file: .*again/,
  },
  {
    name: "a header longer than the file",
    make: (room) => room.tensors("model/model.safetensors", () => ({ length: 1 << 30 })),
    line: /model\/model\.safetensors: not a valid safetensors file: .*again/,
  },
  {
    name: "a header that is no JSON",
    make: (room) =>
      room.write(
        "model/model.safetensors",
        Buffer.concat([Buffer.from([4, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('{"a"')]),
      ),
    line: /not a valid safetensors file: the header is not the JSON.*again/,
  },
  {
    name: "offsets that lie",
    make: (room) =>
      room.tensors("model/model.safetensors", (header) => {
        entry(header).shape = [31];
        return { header };
      }),
    line: /tensor "model\.norm\.weight" has 128 bytes by its data_offsets, but 124 by its dtype and shape.*again/,
  },
  {
    name: "tensors that overlap",
    make: (room) =>
      room.tensors("model/model.safetensors", (header) => {
        const it = entry(header);
        it.data_offsets = [it.data_offsets[0] - 4, it.data_offsets[1] - 4];
        return { header };
      }),
    line: /data_offsets .*without holes or overlaps.*again/,
  },
  {
    name: "a web page as weights",
    make: (room) =>
      room.write("model/model.safetensors", "<!doctype html><html><body>404: Not Found</body></html>"),
    line: /not a valid safetensors file: .*again/,
  },
  {
    name: "a git-lfs pointer as weights",
    make: (room) =>
      room.write(
        "model/model.safetensors",
        `version https://git-lfs.example/spec/v1\noid sha256:${"0".repeat(64)}\nsize 1192135096\n`,
      ),
    line: /model\.safetensors: .*git lfs pull/,
  },
  {
    name: "a missing shard",
    make: (room) => {
      shards(room);
      room.remove("model/model-00002-of-00002.safetensors");
    },
    line: /model\/model-00002-of-00002\.safetensors: missing; model\.safetensors\.index\.json names it\. Download/,
  },
  {
    name: "a broken index",
    make: (room) => {
      shards(room);
      room.write("model/model.safetensors.index.json", '{"weight_map": {\n"a": }}');
    },
    line: /model\/model\.safetensors\.index\.json:2: /,
  },
  {
    name: "a shape that does not fit",
    make: (room) => room.json("model/config.json", { intermediate_size: 40 }),
    line: /model\/model\.safetensors: model\.layers\.0\.mlp\.\w+\.weight: shape \[.*\] where config\.json asks for \[.*\]; /,
  },
  {
    name: "a missing tensor",
    make: (room) => room.json("model/config.json", { num_hidden_layers: 3, layer_types: undefined }),
    line: /model: no tensor "model\.layers\.2\..*"; config\.json and the weights do not belong together/,
  },
  {
    name: "an unexpected tensor",
    make: (room) => room.json("model/config.json", { num_hidden_layers: 1, layer_types: undefined }),
    line: /model\/model\.safetensors: unexpected tensor "model\.layers\.1\..*"; config\.json has no place for it/,
  },
  {
    name: "a model that no memory holds",
    make: (room) => room.json("model/config.json", { intermediate_size: 2 ** 43 }),
    keys: { train_from_scratch: true, finetuning_type: "full" },
    line: /^error: out of memory \(cannot allocate \d+ bytes of memory\): lower per_device_train_batch_size \(8\) and raise gradient_accumulation_steps, or train with finetuning_type: lora, or take a smaller model\n$/,
  },
];
