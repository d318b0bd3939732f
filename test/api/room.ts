// A folder where the package is installed as npm would: packed, unpacked under node_modules, its dependencies and the
// addon borrowed from the repository. What is tested there is what is published.
import { execFileSync } from "node:child_process";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import {
  initializeWeights,
  parseConfig,
  Qwen3ForCausalLM,
  saveModel,
} from "../../lib/models/families/qwen3/index.js";
import { addonPath, manualSeed } from "../../lib/torch/index.js";

export const root = fileURLToPath(new URL("../../", import.meta.url));

/** Makes the folder; `remove` it when done. */
export function installed(): { dir: string; env: NodeJS.ProcessEnv; remove(): void } {
  const dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-installed-"));
  const shell = process.platform === "win32";
  const pack = ["pack", "--ignore-scripts", "--loglevel=error", "--pack-destination", dir];
  execFileSync("npm", pack, { cwd: root, shell, stdio: ["ignore", "pipe", "inherit"] });
  const archive = readdirSync(dir).find((name) => name.endsWith(".tgz"))!;
  execFileSync("tar", ["-xzf", archive], { cwd: dir });
  mkdirSync(path.join(dir, "node_modules/@types"), { recursive: true });
  renameSync(path.join(dir, "package"), path.join(dir, "node_modules/qwen-pt"));
  const borrow = (from: string, to: string) =>
    symlinkSync(path.join(root, from), path.join(dir, to), "junction");
  borrow("node_modules", "node_modules/qwen-pt/node_modules");
  borrow("node_modules/@types/node", "node_modules/@types/node");
  const env = { ...process.env, QWEN_PT_ADDON: addonPath() };
  return { dir, env, remove: () => rmSync(dir, { recursive: true, force: true }) };
}

/** A model of 2 layers, 32 wide, for the examples' tokenizer. */
export function tinyModel(dir: string): void {
  const config = parseConfig({
    architectures: ["Qwen3ForCausalLM"],
    model_type: "qwen3",
    vocab_size: JSON.parse(readFileSync(path.join(root, "examples/model/config.json"), "utf8")).vocab_size,
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 8,
    tie_word_embeddings: true,
  });
  manualSeed(1);
  const model = new Qwen3ForCausalLM(config);
  initializeWeights(model);
  saveModel(model, dir);
  for (const name of ["tokenizer.json", "tokenizer_config.json"])
    cpSync(path.join(root, "examples/model", name), path.join(dir, name));
}
