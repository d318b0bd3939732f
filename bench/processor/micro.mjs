// One measurement in a separate process: micro-steps of the benchmark's model, with levers of ours on or off; the last
// line is JSON. `node bench/processor/micro.mjs '{"model": "...", "tokens": 1024, "checkpointing": false, "without": ["attention"]}'`
//
// A lever is turned off by putting a layer of plain ATen operators in a fused one's place, as a user could.
import { readFileSync } from "node:fs";
import { addLora, call, loadModel, microStep, Qwen3ForCausalLM, readConfig } from "../../dist/index.js";
import { initializeWeights, Qwen3Attention, Qwen3MLP } from "../../dist/models/families/qwen3/index.js";
import { Module, RMSNorm } from "../../dist/public/nn.js";
import { LoraLinear } from "../../dist/public/peft.js";

const options = {
  tokens: 1024,
  steps: 3,
  checkpointing: false,
  without: [],
  rank: 8,
  ...JSON.parse(process.argv[2]),
};

/** transformers' norm, operator by operator. */
class ComposedNorm extends Module {
  constructor({ weight, eps }) {
    super();
    this.weight = weight;
    this.eps = eps;
  }

  forward(x) {
    const wide = x.float();
    const scale = wide.square().mean(-1).unsqueeze(-1).add(this.eps).rsqrt();
    return this.weight.mul(wide.mul(scale).to(x.dtype));
  }
}

const operator =
  (name) =>
  (...args) =>
    call(`qwen_pt::composite_${name}`, ...args);

const levers = {
  "chunked loss": (model) => {
    // the head keeps its logits, a chunk of rows at a time, for autograd
    Object.defineProperty(model, "headWeight", { value: undefined });
  },
  norms: (model) => {
    for (const [path, module] of [...model.namedModules()])
      if (module instanceof RMSNorm) model.replace(path, new ComposedNorm(module));
  },
  swiglu: () => {
    const product = operator("swiglu");
    Qwen3MLP.prototype.forward = function (x) {
      return this.down_proj.forward(product(this.gate_proj.forward(x), this.up_proj.forward(x)));
    };
  },
  "lora node": () => {
    LoraLinear.prototype.forwardTogether = () => undefined;
  },
  attention: () => {
    const attend = operator("causal_attention");
    Qwen3Attention.prototype.attend = (q, k, v, documents) => attend(q, k, v, documents);
  },
};

function build() {
  if (options.layers === undefined) return loadModel(options.model);
  const model = new Qwen3ForCausalLM({ ...readConfig(options.model), num_hidden_layers: options.layers });
  initializeWeights(model, "bfloat16");
  return model;
}

const model = build();
addLora(model, { rank: options.rank });
model.train();
for (const name of options.without) levers[name](model);
const ids = new Int32Array(options.tokens).map((_, i) => (i * 7919) % 150_000);
const documents =
  options.documents === undefined
    ? undefined
    : Int32Array.from({ length: options.documents + 1 }, (_, i) =>
        Math.round((i * options.tokens) / options.documents),
      );
const batch = {
  inputIds: ids,
  labels: ids,
  attentionMask: undefined,
  batch: 1,
  length: options.tokens,
  documents,
};
const trained = model.parameters().filter(({ requiresGrad }) => requiresGrad);
const seconds = [];
for (let step = 0; step < options.steps; step++) {
  const start = performance.now();
  microStep(model, batch, {
    device: "cpu",
    compute: "bfloat16",
    checkpointing: options.checkpointing,
    scale: 1 / options.tokens,
  });
  seconds.push((performance.now() - start) / 1000);
  for (const parameter of trained) parameter.grad = undefined;
}
const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024;
console.log(JSON.stringify({ seconds: Math.min(...seconds), peakBytes: peak, all: seconds }));
