// Every mistake that a newcomer makes (mistakes/), against the command line: one line on stderr that names the place and
// the remedy, exit code 1, and the disk as it was. Most run in this process; those marked `process` are real programs.
// Prints the table of mistakes and their lines.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runTraining } from "../../lib/cli/commands/train.js";
import { describe as describeError, dispatch } from "../../lib/cli/dispatch.js";
import { loadRecipe } from "../../lib/config/index.js";
import { addonPath } from "../../lib/torch/native.js";
import { runRecipe } from "../../lib/train/run.js";
import { DATA } from "./mistakes/data.js";
import { FORGETTING } from "./mistakes/forgetting.js";
import { MODELS } from "./mistakes/models.js";
import { METHODS, PLACES } from "./mistakes/places.js";
import { COMMANDS, RECIPES } from "./mistakes/recipes.js";
import { type Mistake, Room } from "./mistakes/room.js";
import { SAMPLING } from "./mistakes/sampling.js";
import { VOCABULARY } from "./mistakes/vocabulary.js";
import { buildProgram, FakeHost } from "./program.js";

const GROUPS: Record<string, Mistake[]> = {
  command: COMMANDS,
  recipe: RECIPES,
  model: MODELS,
  data: DATA,
  method: METHODS,
  vocabulary: VOCABULARY,
  sampling: SAMPLING,
  forgetting: FORGETTING,
  place: PLACES,
};

describe("mistakes", () => {
  const root = mkdtempSync(path.join(tmpdir(), "qwen-pt-mistakes-"));
  const table: string[] = [];
  const home = process.cwd();
  let program: string;
  let rooms = 0;

  beforeAll(async () => {
    program = await buildProgram();
  });
  afterAll(() => {
    process.chdir(home);
    for (const dir of [root, program]) rmSync(dir, { recursive: true, force: true });
    process.stdout.write(`\n${table.join("\n")}\n`);
  });

  for (const [group, mistakes] of Object.entries(GROUPS)) {
    describe(group, () => {
      it.each(mistakes)("$name", async (mistake) => {
        const dir = path.join(root, `${rooms++}`);
        mkdirSync(dir);
        const room = new Room(dir);
        if (mistake.keys) room.keys(mistake.keys);
        mistake.make?.(room);
        const before = room.snapshot();
        const args = mistake.args ?? ["train", "recipe.yaml"];
        const { code, err } = mistake.process
          ? await asProcess(room, mistake, args)
          : await inside(room, mistake, args);
        const after = room.snapshot();
        table.push(`${group}: ${mistake.name}\n    ${err.trimEnd()}`);
        expect(err).toMatch(/^error: [^\n]+\n$/);
        expect(err).toMatch(mistake.line);
        expect(err).not.toMatch(/unexpected: set QWEN_PT_DEBUG|\bat .*:\d+:\d+|ENO|undefined|\[object/);
        expect(code).toBe(1);
        for (const name of mistake.leaves ?? []) after.delete(name);
        expect([...after.keys()]).toEqual([...before.keys()]);
        expect(after).toEqual(before);
      });
    });
  }

  it("a model folder without tokenizer_config.json is none", async () => {
    const dir = path.join(root, `${rooms++}`);
    mkdirSync(dir);
    const room = new Room(dir);
    room.remove("model/tokenizer_config.json");
    const { code, err } = await inside(room, COMMANDS[0], ["train", "recipe.yaml"]);
    expect([code, err]).toEqual([0, ""]);
    const saved = JSON.parse(readFileSync(room.at("out/tokenizer_config.json"), "utf8"));
    expect(saved).toMatchObject({ tokenizer_class: "Qwen2Tokenizer", eos_token: "<|endoftext|>" });
  });

  /** The command in this process: a run is in this thread, as the worker does it. */
  async function inside(
    room: Room,
    { env = {} }: Mistake,
    args: string[],
  ): Promise<{ code: number; err: string }> {
    process.chdir(room.dir);
    const host = new FakeHost({ env });
    const [command, recipe, ...overrides] = args;
    const trains = command === "train" && recipe !== undefined && overrides.every((one) => /^\w+=/.test(one));
    if (!trains) return { code: await dispatch(args, host), err: host.errors };
    const training = {
      train: (file: string) => runRecipe(loadRecipe(file, overrides, { env })),
      overwrites: (file: string) => loadRecipe(file, overrides, { env }).recipe.overwrite_output_dir,
    };
    try {
      return { code: await runTraining(recipe, overrides, host, training), err: host.errors };
    } catch (error) {
      return { code: 1, err: `${describeError(error, env)}\n` };
    }
  }

  async function asProcess(room: Room, { env = {}, limit = "true" }: Mistake, args: string[]) {
    const main = path.join(program, "dist/cli/main.js");
    // root passes over every permission: it is made to obey them, and stays the owner of its folders
    const obey = process.getuid?.() === 0 ? "setpriv --bounding-set=-all --inh-caps=-all" : "";
    const child = spawn("sh", ["-c", `${limit}; exec ${obey} "$0" "$@"`, process.execPath, main, ...args], {
      cwd: room.dir,
      env: { ...process.env, QWEN_PT_ADDON: addonPath(), ...env },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let err = "";
    child.stderr.on("data", (data) => (err += data));
    const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
    return { code, err };
  }
});
