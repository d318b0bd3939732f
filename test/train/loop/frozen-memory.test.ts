// What is frozen costs nothing: no gradient, no optimizer state and, below the first trained layer, no stored activation,
// with gradient checkpointing or without. Measured in bytes of this process, at the point where most are stored: between
// the forward and the backward pass.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Batch } from "../../../lib/data/index.js";
import {
  initializeWeights,
  parseConfig,
  Qwen3ForCausalLM,
} from "../../../lib/models/families/qwen3/index.js";
import { AdamW, decayGroups } from "../../../lib/optim/index.js";
import { freeze, full } from "../../../lib/peft/index.js";
import { microStep } from "../../../lib/step/index.js";
import { headLoss } from "../../../lib/step/loss.js";
import { liveTensors, manualSeed } from "../../../lib/torch/index.js";
import { collect } from "../../fixtures/collect.js";
import { fixture } from "../runs.js";

const LAYERS = 12;
const LENGTH = 1024;
const WIDTH = 256;

function build(): Qwen3ForCausalLM {
  const raw = JSON.parse(readFileSync(fixture("model", "config.json"), "utf8")) as Record<string, unknown>;
  const sizes = {
    hidden_size: WIDTH,
    intermediate_size: 512,
    head_dim: 64,
    num_hidden_layers: LAYERS,
    max_position_embeddings: LENGTH,
    layer_types: Array(LAYERS).fill("full_attention"),
  };
  const model = new Qwen3ForCausalLM(parseConfig({ ...raw, ...sizes }, "config.json"));
  manualSeed(1);
  initializeWeights(model);
  return model;
}

function batchOf(length: number): Batch {
  const ids = Int32Array.from({ length }, (_, i) => 3 + ((i * 7) % 300));
  return { inputIds: ids, labels: ids, attentionMask: undefined, batch: 1, length };
}

/** Bytes that a micro-step holds when the head is reached, and the tensors that this thread holds of them. */
function stored(
  model: Qwen3ForCausalLM,
  checkpointing: boolean,
  length = LENGTH,
): { bytes: number; tensors: number } {
  collect();
  const before = { bytes: process.memoryUsage.rss(), tensors: liveTensors() };
  let found = { bytes: 0, tensors: 0 };
  microStep(model, batchOf(length), {
    ...{ device: "cpu", compute: undefined, checkpointing, scale: 1 / LENGTH },
    objective: () => (hidden, targets, scale) => {
      const [bytes, tensors] = [process.memoryUsage.rss() - before.bytes, liveTensors() - before.tensors];
      found = { bytes, tensors };
      const loss = headLoss(model, hidden, targets, scale, undefined);
      return { total: loss, crossEntropy: loss };
    },
  });
  return found;
}

/** The model with the last layers, this many, trained. */
function training(layers: number): Qwen3ForCausalLM {
  const model = build();
  if (layers === LAYERS) full(model, "float32");
  else freeze(model, { trainableLayers: layers }, "float32");
  return model;
}

describe("the two top layers of twelve", () => {
  const [top, all] = [training(2), training(LAYERS)];

  it("without gradient checkpointing: a fraction of the bytes, and no handle of a frozen layer's output", () => {
    stored(all, false, 32); // loads what is loaded once
    // the smaller one first: memory that was freed stays the process's own
    const [few, many] = [stored(top, false), stored(all, false)];
    const said = [few, many].map(({ bytes }) => `${Math.round(bytes / 2 ** 20)} MiB`);
    process.stdout.write(`stored activations: ${said[0]} of the top 2 layers, ${said[1]} of all ${LAYERS}\n`);
    expect(many.bytes).toBeGreaterThan(60 * 2 ** 20);
    expect(few.bytes).toBeLessThan(many.bytes * 0.45);
    expect(few.tensors).toBeLessThan(LAYERS - 2);
  });

  it("with gradient checkpointing: an input, and one number for the last product, of each trained layer", () => {
    const [few, many] = [stored(top, true), stored(all, true)];
    const lookedUp = 2; // the embedding trains too: its rows, and the view of them that the first layer reads
    expect(many.tensors - few.tensors).toBe(2 * (LAYERS - 2) + lookedUp);
  });

  it("have gradients and optimizer state, the others none", () => {
    const names = [...top.namedParameters()].map(([name]) => name);
    const own = names.filter((name) => /layers\.1[01]\./.test(name));
    const graded = [...top.namedParameters()].filter(([, p]) => p.grad !== undefined).map(([name]) => name);
    expect(graded).toEqual(own);
    const optimizer = new AdamW(decayGroups(top.namedParameters(), 0.1), { learningRate: 1e-3 });
    optimizer.step();
    const states = [...optimizer.stateDict().keys()].map((key) =>
      key.replace(/\.(step|exp_avg|exp_avg_sq)$/, ""),
    );
    expect(new Set(states)).toEqual(new Set(own));
  });
});
