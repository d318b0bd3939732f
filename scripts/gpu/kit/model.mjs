// node model.mjs FOLDER cuda|cpu: a random model of Qwen3-0.6B's shape in bfloat16, with the example model's tokenizer, as
// every cell and the peer's loop load it; for cpu, of two small layers.
import { copyFileSync, mkdirSync } from "node:fs";
import path from "node:path";

const [folder, kind] = process.argv.slice(2);
const from = (name) => import(path.join(process.cwd(), "dist", name));
const { initializeWeights, parseConfig, Qwen3ForCausalLM, saveModel } = await from("models/index.js");
const { manualSeed } = await from("torch/index.js");
const size =
  kind === "cpu"
    ? {
        vocab_size: 8192,
        hidden_size: 256,
        intermediate_size: 512,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
      }
    : {
        vocab_size: 151936,
        hidden_size: 1024,
        intermediate_size: 3072,
        num_hidden_layers: 28,
        num_attention_heads: 16,
        num_key_value_heads: 8,
      };
manualSeed(0);
const model = new Qwen3ForCausalLM(
  parseConfig({
    architectures: ["Qwen3ForCausalLM"],
    model_type: "qwen3",
    head_dim: 128,
    rope_theta: 1e6,
    rms_norm_eps: 1e-6,
    max_position_embeddings: 40960,
    tie_word_embeddings: true,
    ...size,
  }),
);
initializeWeights(model, "float32");
mkdirSync(folder, { recursive: true });
saveModel(model, folder, { dtype: "bfloat16" });
for (const name of ["tokenizer.json", "tokenizer_config.json"])
  copyFileSync(path.join(process.cwd(), "examples", "model", name), path.join(folder, name));
