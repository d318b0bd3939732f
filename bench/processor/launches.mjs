// What a micro-step and an optimizer's step ask of a device, counted on `meta` by libtorch's own hook: nothing is
// computed, so no card is needed. A bound from below: what an operator launches inside, only a card shows.
//
//   node bench/processor/launches.mjs [--layers 28] [--batch 8] [--length 1024]
import { parseConfig, Qwen3ForCausalLM } from "../../dist/models/families/qwen3/index.js";
import { dynamicLevels } from "../../dist/nn/index.js";
import { addLora } from "../../dist/peft/index.js";
import { microStepLoss } from "../../dist/step/index.js";
import { call, noGrad, scope, tensor, zeros } from "../../dist/torch/index.js";
import { native } from "../../dist/torch/native.js";

const option = (name, otherwise) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : Number(process.argv[at + 1]);
};
const [layers, batch, length] = [option("layers", 28), option("batch", 8), option("length", 1024)];
const config = parseConfig({
  ...{ architectures: ["Qwen3ForCausalLM"], model_type: "qwen3", vocab_size: 151936, hidden_size: 1024 },
  ...{ intermediate_size: 3072, num_hidden_layers: layers, num_attention_heads: 16, num_key_value_heads: 8 },
  ...{ head_dim: 128, tie_word_embeddings: true },
});
const ids = Int32Array.from({ length: batch * length }, (_, at) => at % 1000);
const documents = Int32Array.from({ length: 2 * batch + 1 }, (_, at) => (at * length) / 2);

function counted(body) {
  native().startRecording();
  body();
  const { launches, ...copies } = native().stopRecording();
  return { launches: Object.values(launches).reduce((a, b) => a + b, 0), ...copies };
}

function model(dropout) {
  const made = new Qwen3ForCausalLM(config, { dtype: "bfloat16" });
  addLora(made, { rank: 8, dropout });
  made.to({ dtype: "bfloat16" }); // the adapters too, as autocast has them: meta has no autocast
  made.train();
  return made;
}

function microStep(of, checkpointing) {
  const input = { inputIds: ids, labels: ids, attentionMask: undefined, batch, length, documents };
  const once = () =>
    scope(() =>
      microStepLoss(of, input, { device: "meta", compute: undefined, checkpointing, scale: 1 / ids.length }),
    );
  once(); // the first makes tables of angles
  return counted(once);
}

/** A step over one adapter, on the processor: what meta composes of it, it does not know. */
function update() {
  const [x, gradient] = [zeros([8, 1024]), zeros([8, 1024])];
  const moments = [
    zeros([8, 1024], { dtype: "uint8" }),
    zeros([8, 1024], { dtype: "uint8" }),
    zeros([32]),
    zeros([32]),
  ];
  const levels = [true, false].flatMap((signed) => {
    const values = tensor(dynamicLevels(signed));
    return [values, call("qwen_pt::level_steps", values)];
  });
  const settings = [1e-3, 0.9, 0.999, 1e-8, 0.01, 1];
  const step = (name, at) => {
    const operands = [...[x, gradient].map(at), moments.map(at), levels.map(at), settings];
    return counted(() => noGrad(() => call(`qwen_pt::${name}`, ...operands)));
  };
  return process.env.QWEN_PT_FUSED === "0"
    ? step("composite_adamw_step_", (one) => one)
    : step("adamw_step_", (one) => one.to({ device: "meta" }));
}

const [plain, dropping] = [model(0), model(0.1)];
const rows = [
  ["nothing recomputed", () => microStep(plain, false)],
  ["what is cheap recomputed (selective)", () => microStep(plain, "selective")],
  ["whole blocks recomputed", () => microStep(plain, true)],
  ["nothing recomputed, dropout 0.1", () => microStep(dropping, false)],
  ["a step of adamw_8bit, a parameter", update],
];
for (const [name, run] of rows) {
  process.env.QWEN_PT_FUSED = "0";
  const composed = run();
  delete process.env.QWEN_PT_FUSED;
  const fused = run();
  process.stdout.write(
    `${name}: ${composed.launches} launches composed, ${fused.launches} fused; ${fused.uploads} uploads, ${fused.waitedUploads} waited for, ${fused.downloads} copies back\n`,
  );
}
