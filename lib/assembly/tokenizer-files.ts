// The tokenizer beside the weights, as transformers 5 saves it: tokenizer.json, tokenizer_config.json and the chat
// template in its own file.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Tokenizer } from "../data/index.js";
import { readJsonFile } from "../files/json-file.js";
import { writeWhole } from "../files/output-file.js";
import { anything, table } from "../files/shape.js";

const COPIED = [
  "tokenizer.json",
  "vocab.json",
  "merges.txt",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
];

/** Writes a tokenizer's files into `dir`; the end token is the one that training used. */
export function saveTokenizer(tokenizer: Tokenizer, dir: string): void {
  // beside learned entries the older files would tell another vocabulary
  const stale = tokenizer.replaced ? ["vocab.json", "merges.txt", "added_tokens.json"] : [];
  for (const name of COPIED.filter((one) => !stale.includes(one))) {
    const source = path.join(tokenizer.dir, name);
    if (existsSync(source)) writeWhole(path.join(dir, name), readFileSync(source));
  }
  if (tokenizer.extended !== undefined) {
    writeWhole(path.join(dir, "tokenizer.json"), `${JSON.stringify(tokenizer.extended, null, 2)}\n`);
  }
  const config = readConfig(path.join(tokenizer.dir, "tokenizer_config.json"));
  if (typeof config["chat_template"] === "string") {
    writeWhole(path.join(dir, "chat_template.jinja"), config["chat_template"]);
    delete config["chat_template"];
  }
  config["eos_token"] = tokenizer.eosToken;
  config["pad_token"] = tokenizer.padToken;
  writeWhole(path.join(dir, "tokenizer_config.json"), `${JSON.stringify(config, null, 2)}\n`);
}

/** A folder without the file has Qwen's tokenizer, as for transformers, which asks config.json then: name its class. */
function readConfig(file: string): Record<string, unknown> {
  if (!existsSync(file)) return { tokenizer_class: "Qwen2Tokenizer" };
  return readJsonFile(file, table(anything));
}

/** Copies generation_config.json, which only whole models have. */
export function copyGenerationConfig(from: string, to: string): void {
  const source = path.join(from, "generation_config.json");
  if (existsSync(source)) writeWhole(path.join(to, "generation_config.json"), readFileSync(source));
}
