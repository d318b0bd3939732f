// Every command but help: its line in the usage and the way to it. A command is imported when it is called.

import type { CommandMain } from "../terminal/host.js";

interface Command {
  summary: string;
  /** Whether it goes on when nobody reads its output any more: what it writes to the disk is what it is for. */
  outlivesReader?: boolean;
  load(): Promise<{ run: CommandMain }>;
}

/** Commands of LLaMA-Factory's that are not here, and what to do instead. */
export const ELSEWHERE: ReadonlyMap<string, string> = new Map([
  ["webui", "qwen-pt has no web interface: `qwen-pt init` writes a recipe after four questions"],
  ["webchat", "qwen-pt has no web interface: `qwen-pt chat` completes prompts in the terminal"],
  ["api", "qwen-pt serves no model: `qwen-pt export` writes one that servers such as vLLM load"],
  ["tokenize", "`qwen-pt train` tokenizes by itself; tokenized_path keeps the result"],
]);

/** The commands in the order in which `help` shows them. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  init: { summary: "write a recipe after four questions", load: () => import("./init.js") },
  train: { summary: "train from a recipe", outlivesReader: true, load: () => import("./train.js") },
  estimate: {
    summary: "how much memory and time a recipe takes",
    load: () => import("./estimate.js"),
  },
  export: {
    summary: "merge an adapter into its base model and save it",
    outlivesReader: true,
    load: () => import("./export.js"),
  },
  chat: {
    summary: "complete prompts with a base model or an adapter",
    load: () => import("./chat.js"),
  },
  eval: {
    summary: "perplexity on held-out text, before and after",
    load: () => import("./eval.js"),
  },
  download: {
    summary: "fetch a model from a hub into the cache",
    outlivesReader: true,
    load: () => import("./download.js"),
  },
  corpora: {
    summary: "well-known pre-training sets, with size and license",
    load: () => import("./corpora.js"),
  },
  setup: {
    summary: "find or fetch libtorch and compile the addon",
    outlivesReader: true,
    load: () => import("./setup.js"),
  },
  doctor: { summary: "what is wrong with this installation", load: () => import("./doctor.js") },
  completion: {
    summary: "a script that completes commands and keys in a shell",
    load: () => import("./completion.js"),
  },
  env: { summary: "versions and hardware, for a bug report", load: () => import("./env.js") },
  version: { summary: "print the version", load: () => import("./version.js") },
};
