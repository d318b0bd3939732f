// The tokenizer beside the weights, as transformers 5 saves it: tokenizer.json, tokenizer_config.json and the chat
// template as a file of its own.
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Tokenizer } from "../data/index.js";
import { writeWhole } from "./textfile.js";

const COPIED = ["tokenizer.json", "vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"];

/** Writes a tokenizer's files into `dir`; the end token is the one that training used. */
export function saveTokenizer(tokenizer: Tokenizer, dir: string): void {
  for (const name of COPIED) {
    const source = path.join(tokenizer.dir, name);
    if (existsSync(source)) copyFileSync(source, path.join(dir, name));
  }
  const config = JSON.parse(readFileSync(path.join(tokenizer.dir, "tokenizer_config.json"), "utf8")) as Record<string, unknown>;
  if (typeof config["chat_template"] === "string") {
    writeWhole(path.join(dir, "chat_template.jinja"), config["chat_template"]);
    delete config["chat_template"];
  }
  config["eos_token"] = tokenizer.eosToken;
  config["pad_token"] = tokenizer.padToken;
  writeWhole(path.join(dir, "tokenizer_config.json"), `${JSON.stringify(config, null, 2)}\n`);
}

/** Copies generation_config.json, which only whole models have. */
export function copyGenerationConfig(from: string, to: string): void {
  const source = path.join(from, "generation_config.json");
  if (existsSync(source)) copyFileSync(source, path.join(to, "generation_config.json"));
}
