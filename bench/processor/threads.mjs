// How OpenMP's threads wait for each other, measured: training steps with each setting in turn, on a machine that is left
// alone and beside another program that wants a core. The figures in docs/troubleshooting.md come from here.
//   node bench/processor/threads.mjs [--rounds 3] [--seconds 6] [--load model,wide] [--settings default,passive,spin=1000]
// "default" is OpenMP's own, "ours" what the package sets by itself; "spin=N" is GOMP_SPINCOUNT. A quiet machine is the
// caller's to provide; under `chrt -r 5` other programs wait.
import { spawn } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
/** One with the embedded model's layers; one with the width of Qwen3-0.6B's and two of its layers. */
const LOADS = {
  model: { length: 512, shape: {} },
  wide: {
    length: 256,
    shape: {
      hidden_size: 1024,
      intermediate_size: 3072,
      num_hidden_layers: 2,
      num_attention_heads: 16,
      num_key_value_heads: 8,
      head_dim: 128,
    },
  },
};

/** In a separate process: LoRA steps in float32 for some seconds; prints tokens a second. */
async function steps(load, seconds) {
  const qwen = await import("../../dist/index.js");
  const { length, shape } = LOADS[load];
  const config = { ...qwen.readConfig(path.join(root, "examples", "model")), ...shape };
  const model = new qwen.Qwen3ForCausalLM(config);
  qwen.initializeWeights(model, "float32");
  qwen.addLora(model, { rank: 8 });
  model.train();
  const trained = model.parameters().filter(({ requiresGrad }) => requiresGrad);
  const names = trained.map((_, i) => String(i));
  const optimizer = new qwen.AdamW([{ names, parameters: trained, weightDecay: 0 }], { learningRate: 1e-4 });
  const ids = Int32Array.from({ length }, (_, i) => (i * 7919) % config.vocab_size);
  const batch = { inputIds: ids, labels: ids, attentionMask: undefined, batch: 1, length };
  const step = () => {
    qwen.microStep(model, batch, {
      device: "cpu",
      compute: undefined,
      checkpointing: false,
      scale: 1 / length,
    });
    qwen.scope(() => void qwen.clipGradNorm(trained, 1));
    optimizer.step();
    for (const parameter of trained) parameter.grad = undefined;
  };
  for (let i = 0; i < 3; i++) step();
  const start = performance.now();
  let done = 0;
  while (performance.now() - start < 1000 * seconds) {
    step();
    done++;
  }
  const took = (performance.now() - start) / 1000;
  console.log(JSON.stringify({ tokensPerSecond: (done * length) / took, threads: qwen.getNumThreads() }));
}

function environmentOf(setting) {
  const { OMP_WAIT_POLICY: _policy, GOMP_SPINCOUNT: _count, ...env } = process.env;
  if (setting === "ours") return env;
  if (setting.startsWith("spin=")) return { ...env, GOMP_SPINCOUNT: setting.slice("spin=".length) };
  if (setting === "default") return { ...env, GOMP_SPINCOUNT: "300000" }; // OpenMP's, where nothing is said
  return { ...env, OMP_WAIT_POLICY: setting };
}

function run(args, env) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...args], {
      env,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    child.stdout.on("data", (more) => (text += more));
    child.on("close", (code) => {
      if (code === 0) resolve(JSON.parse(text));
      else reject(new Error(`a run ended with ${code}`));
    });
  });
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "6" },
    load: { type: "string", default: "model,wide" },
    states: { type: "string", default: "quiet,busy" },
    settings: { type: "string", default: "default,ours,passive" },
  },
});

if (positionals[0] === "steps") await steps(positionals[1], Number(positionals[2]));
else if (positionals[0] === "spin") for (;;);
else {
  for (const load of values.load.split(",")) {
    for (const state of values.states.split(",")) {
      const other =
        state === "busy" ? spawn(process.execPath, [fileURLToPath(import.meta.url), "spin"]) : undefined;
      const figures = new Map();
      for (let round = 0; round < Number(values.rounds); round++)
        for (const setting of values.settings.split(",")) {
          const one = await run(["steps", load, values.seconds], environmentOf(setting));
          figures.set(setting, [...(figures.get(setting) ?? []), one.tokensPerSecond]);
        }
      other?.kill();
      const base = median(figures.values().next().value);
      for (const [setting, all] of figures) {
        const middle = median(all);
        console.log(
          `${load.padEnd(7)}${state.padEnd(7)}${setting.padEnd(14)}${middle.toFixed(0).padStart(7)} tokens/s  ${(middle / base).toFixed(2)}x  (${all.map((one) => one.toFixed(0)).join(", ")})`,
        );
      }
    }
  }
}
