// What a shell is told may come next: asked as a function, and by a real bash.
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { completions, run } from "../../../lib/cli/commands/completion.js";
import { COMMANDS } from "../../../lib/cli/commands/table.js";
import { OPTIONS } from "../../../lib/cli/terminal/options.js";
import { FakeHost } from "../program.js";

const next = (...words: string[]) => completions(["qwen-pt", ...words], words.length);
const folder = mkdtempSync(path.join(tmpdir(), "qwen-pt-completion-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("every command says what options it has", () => {
  expect(Object.keys(OPTIONS).sort()).toEqual(Object.keys(COMMANDS).sort());
});

describe("what may come next", () => {
  it.each([
    [["tr"], ["train"]],
    [["e"], ["estimate", "export", "eval", "env"]],
    [["help", "lora_r"], ["lora_rank"]],
    [
      ["completion", ""],
      ["bash", "zsh", "fish"],
    ],
    [["doctor", "--q"], ["--quick"]],
    [["train", "--l"], ["--lang"]],
    [
      ["help", "--lang", ""],
      ["en", "zh"],
    ],
    [["train", ""], []],
    [["train", "r.yaml", "lora_rank"], ["lora_rank="]],
    [["train", "r.yaml", "finetuning_type=l"], ["finetuning_type=lora"]],
    [
      ["train", "r.yaml", "bf16="],
      ["bf16=true", "bf16=false"],
    ],
    [
      ["train", "r.yaml", "bf16", "="],
      ["true", "false"],
    ],
    [["train", "r.yaml", "bf16", "=", "t"], ["true"]],
    [["eval", "r.yaml", "bf16="], []],
    [["nonsense", "x"], []],
    [["constructor", "--"], []],
  ])("%j", async (words, wanted) => {
    expect(await next(...words)).toEqual(wanted);
  });

  it("never a key that is refused", async () => {
    expect(await next("train", "r.yaml", "push_to")).not.toContain("push_to_hub=");
  });
});

it("another shell is refused by name", async () => {
  await expect(run(["tcsh"], new FakeHost())).rejects.toThrow(
    "completion takes a shell: qwen-pt completion bash|zsh|fish",
  );
});

it("bash completes by the script", async () => {
  const host = new FakeHost();
  await run(["bash"], host);
  const program = path.join(folder, "qwen-pt");
  // bash's half is tested: the answers come from a program that repeats what it was asked
  writeFileSync(program, '#!/bin/sh\nprintf "%s\\n" "$@"\n');
  chmodSync(program, 0o755);
  writeFileSync(path.join(folder, "script"), host.text);
  const ask =
    'source script; COMP_WORDS=(qwen-pt train "a b.yaml" lora); COMP_CWORD=3; _qwen_pt; printf "%s|" "${COMPREPLY[@]}"';
  const said = execFileSync("bash", ["-c", ask], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, PATH: `${folder}:${process.env.PATH}` },
  });
  expect(said).toBe("completion|--words|3|--|qwen-pt|train|a b.yaml|lora|");
});
