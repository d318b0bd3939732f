// Ranks that do not come, do not fit, die or hang: every other rank ends in time, not with 0, and says which rank it was.
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { it } from "vitest";
import type { RecipeInput } from "../../lib/config/index.js";
import { dist, type Ended, freePort, runRanks } from "./ranks.js";
import { TinyRuns } from "./tiny-runs.js";

const linux = process.platform === "linux";
const init = "const world = await init({ timeoutSeconds: 1.8e8, heartbeatSeconds: 2 });";
/** All-reduces without an end; says so at the first. */
const forever = `${init}
  for (let i = 0; ; i++) { await world.allReduce(t.zeros([1000])); if (i === 0) console.log("going"); }`;

it.skipIf(!linux).concurrent("a rank that is killed ends the others, which name it", async ({ expect }) => {
  let killed = 0;
  const ended = await runRanks(forever, {
    size: 3,
    onOutput: (rank, _, child) => {
      if (rank !== 1 || killed > 0) return;
      killed = performance.now();
      child.kill("SIGKILL");
    },
  });
  expect(ended[1]!.signal).toBe("SIGKILL");
  for (const { rank, code, err } of [ended[0]!, ended[2]!]) {
    expect(code).toBe(1);
    expect(err).toMatch(/rank 1 (is gone|has given no sign of life)/);
    expect(err).toMatch(new RegExp(`rank ${rank}`));
    expect(err).toMatch(/waiting for collective \d+, all-reduce of 1000 Float/);
  }
});

it.skipIf(!linux).concurrent(
  "a rank that hangs is found by its silence, whatever time-outs say",
  async ({ expect }) => {
    let stopped = 0;
    let pid = 0;
    const ended = await runRanks(forever, {
      size: 3,
      onOutput: (rank, _, child) => {
        if (rank !== 2 || stopped > 0) return;
        stopped = performance.now();
        pid = child.pid as number;
        child.kill("SIGSTOP");
        setTimeout(() => process.kill(pid, "SIGKILL"), 5500);
      },
    });
    const begun = ended[2]!.seconds - 5.5; // when it was stopped
    for (const { code, err, seconds } of [ended[0]!, ended[1]!]) {
      expect(code).toBe(1);
      expect(err).toMatch(
        /rank 2 has given no sign of life for 2(\.\d+)? s; this rank was waiting for collective/,
      );
      expect(seconds - begun).toBeLessThan(5);
    }
  },
);

it.skipIf(!linux).concurrent(
  "a rank 0 that hangs takes the store with it, and is found as well",
  async ({ expect }) => {
    let pid = 0;
    const ended = await runRanks(forever, {
      onOutput: (rank, _, child) => {
        if (rank !== 0 || pid > 0) return;
        pid = child.pid as number;
        child.kill("SIGSTOP");
        setTimeout(() => process.kill(pid, "SIGKILL"), 5000);
      },
    });
    expect(ended[1]!.code).toBe(1);
    expect(ended[1]!.err).toMatch(
      /rank 1: the process that keeps the store \(rank 0.*has not answered for 2/,
    );
    expect(ended[1]!.seconds).toBeLessThan(ended[0]!.seconds);
  },
);

it.skipIf(!linux).concurrent(
  "an error on one rank ends all, and rank 0 alone says which",
  async ({ expect }) => {
    const ended = await runRanks(
      `${init}
     try { if (rank === 1) throw new Error("no such file"); await world.barrier(); }
     catch (error) {
       await world.fail(error);
       if (rank === 0 && error.name !== "PeerError") console.error("error: " + error.message);
       process.exit(1);
     }`,
    );
    expect(ended.map(({ code }) => code)).toEqual([1, 1]);
    expect(ended[0]!.err.trim()).toBe("error: rank 1: no such file");
    expect(ended[1]!.err).toBe("");
  },
);

it.skipIf(!linux).concurrent(
  "the store stays until every rank has read of a fault, whoever reads of it first",
  async ({ expect }) => {
    // threads that compute read nothing themselves: each rank's heartbeat does, in its own rhythm
    const ended = await runRanks(
      `const world = await init({ timeoutSeconds: 1.8e8, heartbeatSeconds: 12 });
       await after(300 * rank);
       if (rank === 1) {
         await after(1000);
         await world.fail(new Error("no such file"));
         process.exit(1);
       }
       for (;;);`,
      { size: 5 },
    );
    expect(ended.map(({ code }) => code)).toEqual([1, 1, 1, 1, 1]);
    expect(ended[0]!.err.trim()).toBe("error: rank 1: no such file");
    expect(ended.slice(1).map(({ err }) => err)).toEqual(["", "", "", ""]);
  },
);

it.skipIf(!linux).concurrent("ranks that differ are told apart by rank 0", async ({ expect }) => {
  const ended = await runRanks(
    `${init}
     try { await world.agree("recipe", { recipe: rank === 1 ? "b" : "a", data: "d" }); }
     catch (error) { await world.fail(error); console.log(error.name + ": " + error.message); process.exit(1); }`,
  );
  expect(ended[0]!.out).toContain("UserError: rank 1 differs from rank 0 in recipe: b there, a here;");
  expect(ended[1]!.out).toContain("PeerError");
  expect(ended.map(({ code }) => code)).toEqual([1, 1]);
});

it.skipIf(!linux).concurrent("a rank that never comes is named", async ({ expect }) => {
  // long enough for the other to come on a machine that is busy
  const script = `console.log(await failure(init({ timeoutSeconds: 8 })));`;
  const [first, second] = await runRanks(script, { size: 3, started: [0, 2] });
  expect(first!.out).toContain("UserError: rank 1 of 3 did not come within 8 s; check WORLD_SIZE");
  expect(second!.out).toContain("PeerError");
});

it.skipIf(!linux).concurrent(
  "what the environment says is checked before anyone is waited for",
  async ({ expect }) => {
    const script = "console.log(await failure(init({ timeoutSeconds: 1 })));";
    const one = async (env: Record<string, string>) =>
      (await runRanks(script, { started: [0], env: () => env }))[0]!.out;
    expect(await one({ RANK: "2" })).toMatch(/RANK: 2 is not below WORLD_SIZE 2/);
    expect(await one({ WORLD_SIZE: "two" })).toMatch(/WORLD_SIZE: "two" is not a whole number/);
    expect(await one({ MASTER_ADDR: "" })).toMatch(/MASTER_ADDR is not set/);
    const port = String(await freePort());
    const [busy] = await runRanks(
      `import { createServer } from "node:net";
     const server = createServer().listen(${port}, "0.0.0.0");
     await after(100);
     ${script} server.close();`,
      { started: [0], env: () => ({ MASTER_PORT: port }) },
    );
    expect(busy!.out).toMatch(new RegExp(`MASTER_PORT: port ${port} of 127.0.0.1 is in use`));
  },
);

it.skipIf(!linux).concurrent(
  "what listens in the store's place and says nothing is named by who waits for it, and libtorch prints nothing",
  { timeout: 120_000 },
  async ({ expect }) => {
    const server = createServer().listen(0, "0.0.0.0");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const ended = await runRanks("console.log(await failure(init())); process.exit(1);", {
      env: () => ({ MASTER_PORT: String(port) }),
    });
    server.close();
    const place = `port ${port} of 127.0.0.1`;
    expect(ended[0]!.out).toMatch(`UserError: MASTER_PORT: ${place} is in use;`);
    expect(ended[1]!.out).toMatch(`UserError: MASTER_PORT: what listens at ${place} does not answer rank 1`);
    for (const { err, code, seconds } of ended) {
      expect([err, code]).toEqual(["", 1]);
      expect(seconds).toBeLessThan(60);
    }
  },
);

it.skipIf(!linux).concurrent(
  "a signal ends a rank that waits for others that do not come",
  async ({ expect }) => {
    const runs = new TinyRuns();
    try {
      const [only] = await runRanks(
        `const { resolveRecipe } = await import("${dist}/config/index.js");
       const { runRecipe } = await import("${dist}/train/index.js");
       const controller = new AbortController();
       setTimeout(() => controller.abort(), 3000);
       const recipe = resolveRecipe(${JSON.stringify(runs.recipe("alone"))});
       console.log(await failure(runRecipe(recipe, { signal: controller.signal })));
       process.exit(1);`,
        { started: [0] },
      );
      expect([only!.out.trim(), only!.err]).toEqual([
        "AbortError: aborted before the other processes came",
        "",
      ]);
      expect(only!.seconds).toBeLessThan(30);
    } finally {
      runs.remove();
    }
  },
);

/** A recipe of two processes, of which rank 1 comes upon `setup` first. */
async function trainAndFail(setup: string, keys: RecipeInput): Promise<Ended[]> {
  const runs = new TinyRuns();
  try {
    const recipe = runs.recipe("failed", { max_steps: 2, heartbeat_timeout: 2, ...keys });
    return await runRanks(
      `const { World } = await import("${dist}/distributed/world.js");
       const { spawn } = await import("node:child_process");
       const { resolveRecipe } = await import("${dist}/config/index.js");
       const { runRecipe } = await import("${dist}/train/index.js");
       const end = (signal) => {
         spawn("sh", ["-c", "sleep 6; kill -9 " + process.pid]); // of what only hangs
         process.kill(process.pid, signal);
       };
       if (rank === 1) { ${setup} }
       try { await runRecipe(resolveRecipe(${JSON.stringify(recipe)})); }
       catch (error) { console.error("error: " + error.message); process.exit(1); }`,
    );
  } finally {
    runs.remove();
  }
}

/** The fourth gather of rank 1 is not begun. */
const inGather = (signal: string) => `
  const { begin } = World.prototype;
  let gathers = 0;
  World.prototype.begin = function (kind, ...rest) {
    if (kind === "allGather" && ++gathers === 4) end("${signal}");
    return begin.call(this, kind, ...rest);
  };`;

const GONE = /rank 1 (is gone|has given no sign of life)/;
const SILENT = /rank 1 has given no sign of life for 2/;

it.skipIf(!linux).concurrent.for([
  [
    "is killed in a gather of full_shard",
    inGather("SIGKILL"),
    GONE,
    /collective \d+, all-gather of \d+ Float/,
  ],
  ["hangs in a gather of full_shard", inGather("SIGSTOP"), SILENT, /collective \d+, all-gather of \d+ Float/],
] as const)("a rank that %s ends the other", async ([, setup, found, waited], { expect }) => {
  const [first, second] = await trainAndFail(setup, { fsdp: "full_shard" });
  expect(second!.signal).toBe("SIGKILL");
  expect(first!.code).toBe(1);
  expect(first!.err).toMatch(found);
  expect(first!.err).toMatch(waited);
});

it.skipIf(!linux).concurrent.for([
  ["is killed", "SIGKILL", GONE],
  ["hangs", "SIGSTOP", SILENT],
] as const)("a rank that %s while rows go around ends the other", async ([, signal, found], { expect }) => {
  const ended = await runRanks(
    `${init}
     const { spawn } = await import("node:child_process");
     const { ringAttention } = await import("${dist}/nn/index.js");
     const ring = world.openRing([0, 1]);
     const x = t.randn([1, 8, 2, 16]);
     const table = t.tensor(Int32Array.of(0, 8, 0, 8), { shape: [1, 4], dtype: "int32" });
     for (let i = 0; ; i++) {
       if (rank === 1 && i === 3) {
         spawn("sh", ["-c", "sleep 6; kill -9 " + process.pid]); // of what only hangs
         process.kill(process.pid, "${signal}");
       }
       try { ringAttention(x, x, x, { ring, meetings: [table, table] }); }
       catch (error) { console.error("error: " + (await world.explained(error)).message); process.exit(1); }
     }`,
  );
  expect(ended[1]!.signal).toBe("SIGKILL");
  expect(ended[0]!.code).toBe(1);
  expect(ended[0]!.err).toMatch(found);
  expect(ended[0]!.err).toMatch(/waiting for part \d+ of a row from rank 1/);
});

it("a thread may end while its requests to the store are under way", async ({ expect }) => {
  const script = `
    import { Worker } from "node:worker_threads";
    const source = ${JSON.stringify(`
      const { distributedAddon } = await import("${dist}/distributed/addon.js");
      const addon = distributedAddon();
      const store = await addon.openStore("127.0.0.1", 0, true, 5000, "thread/");
      for (let i = 0; i < 40; i++) void addon.storeGet(store, "key").catch(() => {});
      process.exit(0);`)};
    for (let i = 0; i < 25; i++)
      await new Promise((resolve) => new Worker(source, { eval: true }).once("exit", resolve));
    console.log("all ended");`;
  const args = () => ["--input-type=module", "-e", script];
  const [ended] = await runRanks("", { size: 1, args });
  expect(ended).toMatchObject({ signal: null, code: 0, out: "all ended\n" });
});
