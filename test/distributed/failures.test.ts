// Ranks that do not come, do not fit, die or hang: every other rank ends in time, not with 0, and says which rank it was.
import { it } from "vitest";
import { freePort, runRanks } from "./ranks.js";

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
