// A rank that has another version of the package or another recipe, or lacks the data, and a checkpoint that is damaged: one
// line from rank 0 that names it, exit code 1 on every rank, and nobody hangs.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { verifyCheckpoint } from "../../lib/train/checkpoint/folder.js";
import { packageVersion } from "../../lib/version.js";
import { tinyModel } from "../api/room.js";
import { type Ended, program, runRanks } from "./ranks.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

let dir = "";
beforeAll(() => {
  dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-differing-"));
  tinyModel(path.join(dir, "model"));
  cpSync(path.join(root, "examples/data"), path.join(dir, "data"), { recursive: true });
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const keys = ["model_name_or_path=model", "stage=pt", "do_train=true", "finetuning_type=lora"];
const data = ["dataset=prose", "max_samples=20", "cutoff_len=24", "max_steps=2", "use_cpu=true"];

/** Trains in three processes, of which rank 1 has other keys, or another program. */
async function train(output: string, odd: { keys?: string[]; program?: string }): Promise<Ended[]> {
  writeFileSync(path.join(dir, "r.yaml"), "ddp_timeout: 180000000\nheartbeat_timeout: 4\n");
  return runRanks("", {
    size: 3,
    cwd: dir,
    args: (rank) => [
      (rank === 1 ? odd.program : undefined) ?? program,
      ...["train", "r.yaml", ...keys, ...data, "dataset_dir=data", `output_dir=${output}`],
      ...(rank === 1 ? (odd.keys ?? []) : []),
    ],
  });
}

describe.skipIf(process.platform !== "linux").concurrent("one rank that", () => {
  it("has another version ends all", async ({ expect }) => {
    const other = path.join(dir, "other-version");
    mkdirSync(other);
    cpSync(path.join(root, "dist"), path.join(other, "dist"), { recursive: true });
    for (const name of ["node_modules", "build", "scripts"])
      symlinkSync(path.join(root, name), path.join(other, name));
    const manifest = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));
    writeFileSync(path.join(other, "package.json"), JSON.stringify({ ...manifest, version: "9.8.7" }));
    const ended = await train("version", { program: path.join(other, "dist/cli/main.js") });
    expect(ended.map(({ code }) => code)).toEqual([1, 1, 1]);
    expect(ended[0]!.err.trim()).toBe(
      `error: rank 1 differs from rank 0 in qwen-pt's version: 9.8.7 there, ${packageVersion()} here; start every rank with the same recipe, data and version`,
    );
    expect([ended[1]!.err, ended[2]!.err]).toEqual(["", ""]);
  });

  it.for([
    ["lacks the corpus", "empty", /^error: rank 1: .*prose\.jsonl.*$/],
    ["lacks the data's folder", undefined, /^error: rank 1: .*nowhere.*$/],
  ] as const)("%s ends all", async ([, folder, line], { expect }) => {
    const place = path.join(dir, folder ?? "nowhere");
    if (folder !== undefined) {
      mkdirSync(place);
      cpSync(path.join(dir, "data/dataset_info.json"), path.join(place, "dataset_info.json"));
    }
    const ended = await train(`without-${folder}`, { keys: [`dataset_dir=${place}`] });
    expect(ended.map(({ code }) => code)).toEqual([1, 1, 1]);
    expect(ended[0]!.err.trim()).toMatch(line);
    expect([ended[1]!.err, ended[2]!.err]).toEqual(["", ""]);
    for (const { seconds } of ended) expect(seconds).toBeLessThan(30);
  });

  it.for([
    ["learning_rate=0.5"],
    // what the other ranks would do together, and wait for
    ["eval_domains=prose"],
    ["ewc_lambda=1", "ewc_dataset=prose", "ewc_samples=2"],
  ])("has another recipe ends all before anything is read: %s", async (odd, { expect }) => {
    const [key, value] = odd[0]!.split("=") as [string, string];
    const ended = await train(`recipe-${key}`, { keys: odd });
    expect(ended.map(({ code }) => code)).toEqual([1, 1, 1]);
    const said = JSON.stringify(key === "eval_domains" ? [value] : Number(value)).replace(/[[\]]/g, "\\$&");
    expect(ended[0]!.err.trim()).toMatch(
      new RegExp(`^error: rank 1 differs from rank 0 in the recipe's ${key}: ${said} there, .* here; .*$`),
    );
    expect([ended[1]!.err, ended[2]!.err]).toEqual(["", ""]);
    expect(ended[0]!.out).not.toContain("prose");
    for (const { seconds } of ended) expect(seconds).toBeLessThan(60);
  });
});

it.skipIf(process.platform !== "linux")(
  "a damaged checkpoint is named whichever rank reads the file, and skipped by all where it need not be that one",
  async () => {
    const once = (more: string[]) =>
      runRanks("", {
        size: 3,
        cwd: dir,
        args: () => [
          program,
          ...["train", "r.yaml", ...keys, ...data, "dataset_dir=data", "output_dir=kept"],
          ...more,
        ],
      });
    writeFileSync(path.join(dir, "r.yaml"), "ddp_timeout: 180000000\nheartbeat_timeout: 4\nsave_steps: 1\n");
    const first = await once([]);
    expect(first.map(({ code, err }) => [code, err])).toEqual(first.map(() => [0, ""]));
    const last = path.join(dir, "kept/checkpoint-2");
    const { files } = JSON.parse(readFileSync(path.join(last, "manifest.json"), "utf8"));
    for (const name of Object.keys(files)) {
      const file = path.join(last, name);
      const bytes = readFileSync(file);
      const whole = Buffer.from(bytes);
      bytes[bytes.length >> 1]! ^= 1;
      writeFileSync(file, bytes);
      const found = [0, 1, 2].map((rank) => {
        try {
          verifyCheckpoint(last, { rank, size: 3 });
          return "";
        } catch (error) {
          return (error as Error).message;
        }
      });
      expect(
        found.filter((text) => text !== ""),
        name,
      ).toEqual([`${file} is damaged (its checksum differs); resume from another checkpoint`]);
      writeFileSync(file, whole);
    }
    const optimizer = path.join(last, "optimizer.safetensors");
    const bytes = readFileSync(optimizer);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(optimizer, bytes);
    const named = await once(["resume_from_checkpoint=kept/checkpoint-2", "output_dir=other"]);
    expect(named.map(({ code }) => code)).toEqual([1, 1, 1]);
    expect(named[0]!.err.trim()).toMatch(
      /^error: (rank \d: )?.*checkpoint-2\/optimizer.safetensors is damaged \(its checksum differs\); resume from another checkpoint$/,
    );
    expect([named[1]!.err, named[2]!.err]).toEqual(["", ""]);
    const skipped = await once(["max_steps=3"]);
    expect(skipped.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(skipped[0]!.out + skipped[0]!.err).toMatch(/skipped: .*optimizer.safetensors is damaged/);
    expect(skipped[0]!.out + skipped[0]!.err).toContain("checkpoint-1");
  },
  120_000,
);
