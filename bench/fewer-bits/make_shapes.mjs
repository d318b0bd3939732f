// Writes a model's folder of one of Qwen3's shapes with random bfloat16 weights, a shard for each block, so that no more
// than a block is ever in memory; the tokenizer comes from the benchmark's model.
//   node bench/fewer-bits/make_shapes.mjs 4B FOLDER [--tokenizer FOLDER]
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { manualSeed, noGrad, ones, randn, saveSafetensors, scope } from "../../dist/torch/index.js";
import { root } from "../harness/subject.mjs";

// hidden, intermediate, blocks, heads, tied: from each model's config.json
const SHAPES = {
  "0.6B": [1024, 3072, 28, 16, true],
  "1.7B": [2048, 6144, 28, 16, true],
  "4B": [2560, 9728, 36, 32, true],
  "8B": [4096, 12288, 36, 32, false],
};

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { tokenizer: { type: "string", default: path.join(root, ".bench", "qwen3-0.6b-random") } },
});
const [size, folder] = positionals;
if (SHAPES[size] === undefined || folder === undefined) {
  console.error(`node bench/fewer-bits/make_shapes.mjs ${Object.keys(SHAPES).join("|")} FOLDER`);
  process.exit(1);
}
const [hidden, intermediate, blocks, heads, tied] = SHAPES[size];
const [vocabulary, keys, width] = [151_936, 8, 128];
mkdirSync(folder, { recursive: true });
for (const file of ["tokenizer.json", "tokenizer_config.json"])
  cpSync(path.join(values.tokenizer, file), path.join(folder, file));
manualSeed(1);
const map = {};
let total = 0;

/** One shard: name -> shape. */
function shard(number, shapes) {
  const file = `model-${String(number).padStart(5, "0")}-of-${String(blocks + 1).padStart(5, "0")}.safetensors`;
  scope(() =>
    noGrad(() => {
      const tensors = Object.entries(shapes).map(([name, shape]) => {
        map[name] = file;
        total += 2 * shape.reduce((product, each) => product * each, 1);
        const made = shape.length === 1 ? ones(shape) : randn(shape).mul_(0.02);
        return [name, scope(() => made.to("bfloat16"))];
      });
      saveSafetensors(path.join(folder, file), tensors);
    }),
  );
}

for (let block = 0; block < blocks; block++) {
  const at = (name) => `model.layers.${block}.${name}.weight`;
  shard(block + 1, {
    [at("input_layernorm")]: [hidden],
    [at("post_attention_layernorm")]: [hidden],
    [at("self_attn.q_proj")]: [heads * width, hidden],
    [at("self_attn.k_proj")]: [keys * width, hidden],
    [at("self_attn.v_proj")]: [keys * width, hidden],
    [at("self_attn.o_proj")]: [hidden, heads * width],
    [at("self_attn.q_norm")]: [width],
    [at("self_attn.k_norm")]: [width],
    [at("mlp.gate_proj")]: [intermediate, hidden],
    [at("mlp.up_proj")]: [intermediate, hidden],
    [at("mlp.down_proj")]: [hidden, intermediate],
  });
  process.stderr.write(`\r${block + 1} of ${blocks} blocks`);
}
shard(blocks + 1, {
  "model.embed_tokens.weight": [vocabulary, hidden],
  "model.norm.weight": [hidden],
  ...(!tied && { "lm_head.weight": [vocabulary, hidden] }),
});
process.stderr.write("\n");
const index = { metadata: { total_size: total }, weight_map: map };
writeFileSync(path.join(folder, "model.safetensors.index.json"), `${JSON.stringify(index, null, 2)}\n`);
const config = {
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  attention_bias: false,
  attention_dropout: 0.0,
  bos_token_id: 151_643,
  eos_token_id: 151_645,
  head_dim: width,
  hidden_act: "silu",
  hidden_size: hidden,
  initializer_range: 0.02,
  intermediate_size: intermediate,
  max_position_embeddings: 40_960,
  num_attention_heads: heads,
  num_hidden_layers: blocks,
  num_key_value_heads: keys,
  rms_norm_eps: 1e-6,
  rope_theta: 1_000_000,
  tie_word_embeddings: tied,
  torch_dtype: "bfloat16",
  vocab_size: vocabulary,
};
writeFileSync(path.join(folder, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
