// Several processes and one cache, a killed one, and the command that fetches: the compiled program, as users run it.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { place } from "./room.js";
import { modelRepo, sha256 } from "./server.js";

const here = place();
const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

interface Ended {
  code: number | null;
  out: string;
  err: string;
}

function start(args: string[], env: NodeJS.ProcessEnv = {}): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [MAIN, ...args], { env: { ...here.env, ...env }, cwd: here.home });
  let out = "";
  let err = "";
  child.stdout.on("data", (text) => (out += text));
  child.stderr.on("data", (text) => (err += text));
  const ended = new Promise<Ended>((resolve) => child.on("close", (code) => resolve({ code, out, err })));
  return { child, ended };
}

const download = (env?: NodeJS.ProcessEnv) => start(["download", "org/tiny"], env).ended;
const slowly = (milliseconds: number) =>
  here.hub.faults.push(async () => {
    await new Promise((done) => setTimeout(done, milliseconds));
    return false;
  });

describe("qwen-pt download", () => {
  it("prints the folder, and on the other stream what it does", async () => {
    const repo = modelRepo(here.hub);
    const { code, out, err } = await download();
    const folder = path.join(here.home, "hub/models--org--tiny/snapshots", repo.commit);
    expect({ code, out }).toEqual({ code: 0, out: `${folder}\n` });
    expect(err).toMatch(
      /^fetching 7 files \(321 kB\) of org\/tiny from http.*\norg\/tiny: 321 kB fetched\n$/,
    );
    await here.hub.stop();
    const again = await download();
    expect(again).toMatchObject({ code: 0, out: `${folder}\n` });
    expect(again.err).toMatch(/^warning: org\/tiny: .* cannot be reached .*continuing with the cached files/);
  });

  it.each([
    [[], /^error: download needs a name: qwen-pt download Qwen\/Qwen3-0\.6B\n$/],
    [["tiny"], /^error: download: tiny is no repository's name/],
    [["org/tiny", "--to", "x"], /^error: download has no option --to/],
    [["org/nothing"], /^error: org\/nothing: there is no such folder here and no model of that name/],
  ])("%j ends in a line", async (args, expected) => {
    const { code, err } = await start(["download", ...args]).ended;
    expect(err).toMatch(expected);
    expect(code).toBe(1);
  });

  it("never prints a token", async () => {
    modelRepo(here.hub).access = { token: "hf_right_one", gated: false };
    const right = await download({ HF_TOKEN: "hf_right_one" });
    const wrong = await download({
      HF_TOKEN: "hf_wrong_one",
      HF_HOME: path.join(here.home, "b"),
      QWEN_PT_DEBUG: "1",
    });
    expect([right.code, wrong.code]).toEqual([0, 1]);
    expect(right.out + right.err + wrong.out + wrong.err).not.toMatch(/hf_(right|wrong)_one/);
    const names = readdirSync(here.home, { recursive: true, withFileTypes: true });
    const texts = names
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(path.join(entry.parentPath, entry.name), "latin1"));
    expect(texts.some((text) => text.includes("_one"))).toBe(false);
  });
});

describe("two processes", () => {
  it("fetch each file once between them", async () => {
    modelRepo(here.hub);
    slowly(300);
    const both = await Promise.all([download(), download()]);
    expect(both.map(({ code, err }) => ({ code, err: code === 0 ? "" : err }))).toEqual([
      { code: 0, err: "" },
      { code: 0, err: "" },
    ]);
    expect(both[0]!.out).toBe(both[1]!.out);
    const sizes = [...here.hub.repos.values()][0]!.files;
    const needed = readdirSync(both[0]!.out.trim()).reduce((sum, name) => sum + sizes.get(name)!.length, 0);
    expect(here.hub.sent).toBe(needed);
  });

  it("do so without flock(1) too", async () => {
    modelRepo(here.hub);
    slowly(300);
    const both = await Promise.all([download({ PATH: here.home }), download({ PATH: here.home })]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    const names = here.hub.downloads().map(({ url }) => url);
    expect(new Set(names).size).toBe(names.length);
    const locks = path.join(here.home, "hub/.locks/models--org--tiny");
    expect(readdirSync(locks).filter((name) => name.endsWith(".held"))).toEqual([]);
  });
});

describe("Ctrl-C while fetching", () => {
  /** The weights never end. */
  function endless(): void {
    modelRepo(here.hub);
    here.hub.faults.push((_, s, { at }) => {
      if (at === "hub") return false;
      s.writeHead(206, { "content-range": "bytes 0-299999/300000", "content-length": 300_000 });
      s.write(Buffer.alloc(100_000, "w"));
      return true;
    });
  }

  it("ends the command at once, and the next goes on", async () => {
    endless();
    const { child, ended } = start(["download", "org/tiny"]);
    await expect.poll(() => here.hub.asked.some(({ at }) => at === "cdn"), { timeout: 15_000 }).toBe(true);
    await new Promise((done) => setTimeout(done, 300));
    child.kill("SIGINT");
    expect(await ended).toMatchObject({
      code: 130,
      err: expect.stringMatching(/\ninterrupted; the same command/),
    });
    here.hub.faults = [];
    here.hub.asked.length = 0;
    expect((await download()).code).toBe(0);
    const ranges = here.hub.asked.filter(({ at }) => at === "cdn").map(({ headers }) => headers.range);
    expect(ranges).toContain("bytes=100000-299999");
  });

  it("ends a training that had not begun", async () => {
    endless();
    const keys = ["stage=pt", "do_train=true", "dataset=x", "output_dir=out", "finetuning_type=lora"];
    writeFileSync(path.join(here.home, "recipe.yaml"), "model_name_or_path: org/tiny\n");
    const { child, ended } = start(["train", "recipe.yaml", ...keys]);
    await expect.poll(() => here.hub.asked.some(({ at }) => at === "cdn"), { timeout: 15_000 }).toBe(true);
    await new Promise((done) => setTimeout(done, 300));
    child.kill("SIGINT");
    const { code, out } = await ended;
    expect(out).toContain("interrupted before the first step: nothing was saved");
    expect(code).toBe(130);
  });
});

describe("a process that was killed", () => {
  it("leaves what it had to the next, and no lock", async () => {
    const data = Buffer.alloc(500_000, "k");
    const repo = modelRepo(here.hub, "org/tiny", data);
    let sent = 0;
    here.hub.faults.push((q, s, asked) => {
      if (!asked.url.includes(sha256(data)) || sent > 0) return false;
      s.writeHead(206, { "content-range": `bytes 0-499999/500000`, "content-length": 500_000 });
      const timer = setInterval(() => {
        if (sent >= 400_000) return;
        s.write(data.subarray(sent, sent + 50_000));
        sent += 50_000;
      }, 300);
      q.on("close", () => clearInterval(timer));
      return true;
    });
    const first = start(["download", "org/tiny"]);
    await expect.poll(() => sent, { timeout: 15_000 }).toBe(400_000);
    first.child.kill("SIGKILL");
    await first.ended;
    here.hub.asked.length = 0;
    expect((await download()).code).toBe(0);
    const ranges = here.hub.asked.filter(({ url }) => url.includes(sha256(data)));
    const [, from] = /bytes=(\d+)-499999/.exec(ranges[0]?.headers.range ?? "") ?? [];
    expect(Number(from)).toBeGreaterThanOrEqual(150_000);
    const blob = path.join(here.home, "hub/models--org--tiny/blobs", sha256(data));
    expect(readFileSync(blob).equals(data)).toBe(true);
    expect(existsSync(path.join(blob, "..", "..", "snapshots", repo.commit, "model.safetensors"))).toBe(true);
  });
});
