// Activations that leave for the host's memory and come back beside the computation: their order, by a stand-in for the
// device's streams. A copy may happen at any time between its start and the moment that something follows it: the
// stand-in copies as late as that, or at once, and finds whoever frees or reads too early.
import { describe, expect, it } from "vitest";
import { initializeWeights, parseConfig, Qwen3ForCausalLM } from "../../lib/models/families/qwen3/index.js";
import { full } from "../../lib/peft/index.js";
import { HostStore } from "../../lib/step/activations/host-store.js";
import { microStep, StepAborted } from "../../lib/step/micro-step.js";
import {
  liveTensors,
  manualSeed,
  noGrad,
  randn,
  type Tensor,
  type Transfers,
} from "../../lib/torch/index.js";

/** Copies when something follows; until then what is copied into is no number. */
class LateTransfers implements Transfers {
  readonly log: string[] = [];
  #started = 0;

  start(to: readonly Tensor[], from: readonly Tensor[]) {
    const name = String(this.#started++);
    this.log.push(`start ${name}`);
    const sizes = from.map((each) => each.numel());
    noGrad(() => {
      for (const each of to) each.fill_(Number.NaN);
    });
    return {
      follow: () => {
        this.log.push(`follow ${name}`);
        const now = from.map((each) => (each.isDisposed ? -1 : each.numel()));
        if (now.join() !== sizes.join()) throw new Error(`${name}: freed before its copy was done`);
        noGrad(() => {
          for (const [at, each] of to.entries()) each.copy_(from[at] as Tensor);
        });
      },
    };
  }
}

const config = parseConfig({
  ...{ vocab_size: 64, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 4, head_dim: 8 },
  ...{ num_attention_heads: 4, num_key_value_heads: 2, model_type: "qwen3", tie_word_embeddings: true },
});
const ids = Int32Array.from({ length: 16 }, (_, at) => (at * 5) % 64);
const batch = { inputIds: ids, labels: ids, attentionMask: undefined, batch: 2, length: 8 };
const made = (): Qwen3ForCausalLM => {
  const model = new Qwen3ForCausalLM(config, { device: "cpu" });
  manualSeed(3);
  initializeWeights(model);
  full(model);
  return model;
};
const how = { device: "cpu", compute: undefined, scale: 0.1 } as const;

describe("activations in the host's memory", () => {
  it.each([true, "selective"] as const)("leave no trace in the gradients (%s)", (checkpointing) => {
    const gradients = (store: HostStore | undefined): Tensor[] => {
      const model = made();
      microStep(model, batch, { ...how, checkpointing, store });
      return model.parameters().map(({ grad }) => grad as Tensor);
    };
    const kept = gradients(undefined);
    for (const store of [new HostStore(), new HostStore(new LateTransfers())])
      for (const [at, grad] of gradients(store).entries()) expect(grad.equal(kept[at] as Tensor)).toBe(true);
  });

  it("leave and arrive a block ahead", () => {
    const transfers = new LateTransfers();
    microStep(made(), batch, { ...how, checkpointing: true, store: new HostStore(transfers) });
    expect(transfers.log).toEqual([
      ...["start 0", "start 1", "follow 0", "start 2", "follow 1", "start 3", "follow 2"], // out, each during the next
      ...["follow 3", "start 4"], // the last was not gone; block 2 comes back while block 3 computes
      ...["follow 4", "start 5", "follow 5", "start 6", "follow 6"],
    ]);
  });

  it("have left the device but for the last, and what was not taken is let go", () => {
    const store = new HostStore(new LateTransfers());
    const tensors = [0, 1, 2].map(() => [randn([3, 4]), randn([5]).to("bfloat16"), randn([1]).expand([7])]);
    const before = tensors.map((each) => each.map((one) => one.tolist()));
    const live = liveTensors();
    for (const [key, each] of tensors.entries()) store.put(key, each);
    expect(tensors.map((each) => each.map((one) => one.numel()))).toEqual([
      [0, 0, 7],
      [0, 0, 7],
      [12, 5, 7],
    ]);
    for (const key of [2, 1, 0]) {
      store.take(key);
      expect(tensors[key]?.map((one) => one.tolist())).toEqual(before[key]);
    }
    store.put(0, tensors[0] as Tensor[]);
    store.put(1, tensors[1] as Tensor[]);
    store.take(1);
    store.close();
    expect(liveTensors()).toBe(live);
  });

  it("are let go where a step ends early, after their copies", () => {
    const transfers = new LateTransfers();
    const live = liveTensors();
    const model = made();
    const own = liveTensors() - live;
    let asked = 0;
    const isAborted = (): boolean => ++asked === 7; // in the third block back
    expect(() =>
      microStep(model, batch, { ...how, checkpointing: true, store: new HostStore(transfers), isAborted }),
    ).toThrow(StepAborted);
    const [starts, follows] = ["start", "follow"].map((word) =>
      transfers.log.filter((line) => line.startsWith(word)).map((line) => line.slice(word.length)),
    );
    expect(new Set(follows)).toEqual(new Set(starts));
    for (const { grad } of model.parameters()) grad?.dispose();
    expect(liveTensors() - live).toBeLessThanOrEqual(own + model.parameters().length);
  });
});
