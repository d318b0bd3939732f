// What LoRA's variants leave behind, beside LLaMA-Factory's files; parity.test.ts has their numbers.
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { openModel } from "../../../lib/inference/open-model.js";
import { noGrad, tensor } from "../../../lib/torch/index.js";
import { distance as apart } from "../../fixtures/model/read.js";
import { distance, filesOf, fixture, type Ran, references, run } from "../runs.js";

const runs = new Map<string, Promise<Ran>>();
function ran(name: string): Promise<Ran> {
  const found = runs.get(name) ?? run(references[name].keys);
  runs.set(name, found);
  return found;
}

type Config = Record<string, unknown>;
const configOf = (dir: string): Config =>
  JSON.parse(readFileSync(path.join(dir, "adapter_config.json"), "utf8")) as Config;

describe("adapter_config.json is PEFT's", () => {
  it.each(["rslora", "dora", "pissa", "pissa-exact", "continued", "merged-and-continued", "new-adapter"])(
    "of %s",
    async (name) => {
      const comparable = (config: Config) => ({
        ...config,
        base_model_name_or_path: null,
        target_modules: [...(config["target_modules"] as string[])].sort(),
      });
      const { dir } = await ran(name);
      expect(comparable(configOf(dir))).toEqual(comparable(references[name].adapter_config as Config));
    },
  );
});

describe("pissa_convert", () => {
  it("leaves LLaMA-Factory's folders", async () => {
    const { dir, events } = await ran("pissa");
    const below = (files: string[]) => files.filter((file) => file.startsWith("pissa"));
    expect(below(filesOf(dir))).toEqual(below(references["pissa"].files));
    expect(events).toContainEqual({ type: "file", path: path.join(dir, "pissa_converted"), what: "adapter" });
  });

  it("gives plain LoRA that does with the base model what PiSSA does with the residual", async () => {
    // the fast decomposition draws: who loads such an adapter, PEFT included, takes the residual of other draws
    const { dir } = await run({ ...references["pissa"].keys, pissa_iter: -1 });
    expect(configOf(path.join(dir, "pissa_converted"))).toMatchObject({ r: 8, lora_alpha: 16 });
    const inputIds = tensor([[5, 17, 92, 3, 44, 60, 8]], { dtype: "int64" });
    const logits = async (adapter: string[]) => {
      const { model } = await openModel({ model: fixture("model"), adapters: adapter });
      return noGrad(() => model.forward({ inputIds }));
    };
    const converted = await logits([path.join(dir, "pissa_converted")]);
    expect(apart(await logits([dir]), converted)).toBeLessThan(1e-5);
    expect(apart(await logits([]), converted)).toBeGreaterThan(1e-2);
    const files = (name: string) => path.join(dir, name, "adapter_model.safetensors");
    expect(distance(files("pissa_backup"), files(""))).toBe(0);
    expect(distance(files("pissa_backup"), files("pissa_init"))).toBeGreaterThan(1e-2);
  });
});
