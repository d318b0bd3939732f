// Tensors of cards go by a separate backend, and what the ranks tell each other by Gloo: here the backend is a stand-in
// for NCCL (stand_in.cc) that moves the processor's tensors, or those on meta, which have no elements.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cardLibrary, countCards } from "../../../lib/distributed/index.js";
import { dist, runRanks, trainRanks } from "../ranks.js";
import { EVALUATED, FULL, TinyRuns } from "../tiny-runs.js";
import { standIn } from "./stand-in.js";

const results = (ended: { out: string; err: string }[]) =>
  ended.map(({ out, err }) => (err === "" ? JSON.parse(out) : err));
const init = `const world = await init({ backend: "nccl", timeoutSeconds: 1.8e8, heartbeatSeconds: 2 });`;

describe.skipIf(process.platform !== "linux")("tensors of cards", () => {
  let dir = "";
  let library = "";
  beforeAll(() => {
    dir = mkdtempSync(path.join(tmpdir(), "qwen-pt-cards-"));
    library = standIn();
  }, 300_000); // a compiler on a machine that other tests share
  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  const log = (name: string, rank: number) => path.join(dir, `${name}-${rank}`);
  /** The environment of a rank with the stand-in. */
  const withCards =
    (name: string, more: (rank: number) => Record<string, string> = () => ({})) =>
    (rank: number) => ({ QWEN_PT_NCCL: library, STAND_IN_LOG: log(name, rank), ...more(rank) });
  const called = (name: string, rank: number) => readFileSync(log(name, rank), "utf8").trim().split("\n");

  it("are reduced, gathered and sent by their backend; messages go by the host", async () => {
    const ended = await runRanks(
      `${init}
       const of = (dtype) => t.tensor([rank + 1, 10 * (rank + 1)], { dtype });
       const out = {};
       for (const dtype of ["float32", "bfloat16", "int64"])
         out[dtype] = (await world.allReduce(of(dtype))).to("float64").tolist();
       out.broadcast = (await world.broadcast(of("float32"), 2)).tolist();
       out.gather = (await world.allGather(of("float32"))).tolist();
       out.scatter = (await world.reduceScatter(t.tensor([[0, 1], [2, 3], [4, rank]]))).tolist();
       const value = of("float32");
       const begun = world.begin("allReduce", value);
       begun.wait();
       out.begun = value.tolist();
       out.part = world.beginPart(t.tensor([0, 1, 2, 3, 4, rank])).take().tolist();
       const next = (rank + 1) % 3, received = world.receive(t.zeros([2]), (rank + 2) % 3, 7);
       await world.send(of("float32"), next, 7);
       out.received = (await received).tolist();
       await world.barrier();
       await world.close();
       console.log(JSON.stringify(out));`,
      { size: 3, env: withCards("all") },
    );
    expect(results(ended)).toEqual(
      [0, 1, 2].map((rank) => ({
        ...{ float32: [6, 60], bfloat16: [6, 60], int64: [6, 60], broadcast: [3, 30], begun: [6, 60] },
        ...{
          gather: [1, 2, 3].map((n) => [n, 10 * n]),
          received: [((rank + 2) % 3) + 1, 10 * (((rank + 2) % 3) + 1)],
        },
        ...{
          scatter: [
            [
              [0, 3],
              [6, 9],
              [12, 3],
            ][rank],
          ],
          part: [
            [0, 3],
            [6, 9],
            [12, 3],
          ][rank],
        },
      })),
    );
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0]);
    // the library was told of every collective, and of no message, barrier or comparison
    expect(called("all", 1)).toEqual([
      "open, 100000000000 ms", // three of the 5.7 years, as many as c10d's clock can add
      ...["Float", "BFloat16", "Long"].map((dtype) => `allreduce ${dtype} 2`),
      "broadcast Float 2",
      "allgather Float 2",
      "reduce_scatter Float 6",
      "allreduce Float 2",
      "reduce_scatter Float 6",
    ]);
  });

  it("that do not fit are refused on every rank before their backend hears of them", async () => {
    const ended = await runRanks(
      `${init}
       const out = [await failure(world.allReduce(t.zeros([rank === 0 ? 4 : 400])))];
       out.push((await world.allReduce(t.full([2], 1))).tolist());
       await world.close();
       console.log(JSON.stringify(out));`,
      { env: withCards("unfit") },
    );
    const said =
      "DistributedError: the ranks do not agree on a collective: rank 0 has all-reduce of 4 Float, rank 1 all-reduce of 400 Float";
    expect(results(ended)).toEqual([
      [said, [2, 2]],
      [said, [2, 2]],
    ]);
    expect(called("unfit", 0).slice(1)).toEqual(["allreduce Float 2"]);
  });

  it("stay where they are: buckets and parts of a model on a device, what the ranks count on the host", async () => {
    const ended = await runRanks(
      `${init}
       const { GradientBuckets, FlatShard } = await import("${dist}/distributed/index.js");
       const onDevice = (shape) => { const p = t.zeros(shape, { device: "meta" }); p.requiresGrad = true; return p; };
       const parameters = [onDevice([3, 5]), onDevice([7])];
       parameters[rank].sum().backward();
       await new GradientBuckets([parameters, [onDevice([2]), onDevice([4])]], world).finish();
       const grads = parameters.map(({ grad }) => [grad.device, grad.shape]);
       const shard = new FlatShard([["a", onDevice([300])], ["b", onDevice([40])]], world, "float32");
       shard.ready();
       shard.release();
       const counted = await world.sum([rank + 1]);
       const gathered = await world.allGather(t.zeros([4], { device: "meta" }));
       console.log(JSON.stringify({ grads, parts: shard.parts.map(({ part }) => part.device), counted, gathered: [gathered.device, gathered.shape] }));
       await world.close();`,
      { env: withCards("meta", () => ({ STAND_IN_DEVICE: "meta" })) },
    );
    for (const [rank, result] of results(ended).entries())
      expect(result).toMatchObject({
        ...{
          grads: [
            ["meta", [3, 5]],
            ["meta", [7]],
          ],
          counted: [3],
          gathered: ["meta", [2, 4]],
        },
        parts: rank === 0 ? ["meta"] : expect.arrayContaining(["meta"]),
      });
    expect(called("meta", 1).slice(1)).toEqual([
      "allreduce Float 22",
      "allreduce Float 6", // of which no rank has a gradient
      "broadcast Float 1024",
      "allgather Float 512",
      "allgather Float 4",
    ]);
  });

  it.concurrent("of a rank that is killed end the others, which name it", async ({ expect }) => {
    let killed = false;
    const ended = await runRanks(
      `${init}
       try {
         for (let i = 0; ; i++) {
           await world.allReduce(t.zeros([1000]));
           if (i === 0) console.log("going");
         }
       } catch (error) {
         console.error(error.message);
         await world.fail(error);
         process.exit(1);
       }`,
      {
        size: 3,
        env: withCards("killed"),
        onOutput: (rank, _, child) => {
          if (rank !== 1 || killed) return;
          killed = true;
          child.kill("SIGKILL");
        },
      },
    );
    expect(ended[1]!.signal).toBe("SIGKILL");
    for (const { code, err } of [ended[0]!, ended[2]!]) {
      expect(code).toBe(1);
      expect(err).toMatch(/rank 1 (is gone|has given no sign of life)/);
    }
  });

  it.concurrent("of a rank that hangs too, and what was on its way is told", async ({ expect }) => {
    let pid = 0;
    const ended = await runRanks(
      `${init}
       for (let i = 0; ; i++) {
         world.begin("allReduce", t.zeros([1000])).wait();
         if (i === 0) console.log("going");
         await after(1);
       }`,
      {
        size: 3,
        env: withCards("hangs"),
        onOutput: (rank, _, child) => {
          if (rank !== 2 || pid > 0) return;
          pid = child.pid as number;
          child.kill("SIGSTOP");
          setTimeout(() => process.kill(pid, "SIGKILL"), 5500);
        },
      },
    );
    for (const { code, err, seconds } of [ended[0]!, ended[1]!]) {
      expect(code).toBe(1);
      expect(err).toMatch(
        /rank 2 has given no sign of life for 2.*waiting for collective \d+, all-reduce of 1000 Float/,
      );
      expect(seconds).toBeLessThan(ended[2]!.seconds);
    }
  });

  it.concurrent("are refused where two ranks have one card, or a rank has none that can be used", async ({
    expect,
  }) => {
    const script = `try { ${init} } catch (error) { if (error.name !== "PeerError") console.error(error.message); process.exit(1); }`;
    const shared = await runRanks(script, {
      size: 3,
      env: withCards("shared", (rank) => ({ STAND_IN_CARD: rank === 1 ? "card-b" : "card-a" })),
    });
    expect(shared.map(({ code, err }) => [code, err.trim()])).toEqual([
      [
        1,
        "ranks 0 and 2 are on one card (card-a), and NCCL takes one process a card; start as many processes as there are cards, or set use_cpu: true",
      ],
      [1, ""],
      [1, ""],
    ]);
    const unusable = await runRanks(script, {
      env: withCards("unusable", (rank) => ({
        STAND_IN_CARD: rank === 1 ? "!its process sees none" : "card-a",
      })),
    });
    expect(unusable.map(({ code, err }) => [code, err.trim()])).toEqual([
      [1, "rank 1: its card cannot be used: its process sees none"],
      [1, ""],
    ]);
    const mixed = await runRanks(script.replace(`"nccl"`, `rank === 1 ? "gloo" : "nccl"`), {
      env: withCards("mixed"),
    });
    expect(mixed[0]!.err).toMatch(
      /rank 1 differs from rank 0 in ddp_backend: gloo \(processor\) there, nccl \(GPU\) here/,
    );
    expect(mixed.map(({ code }) => code)).toEqual([1, 1]);
  });

  it("are not for a library that is not there, is damaged, or was built for another libtorch", async () => {
    const damaged = path.join(dir, "damaged.so");
    writeFileSync(damaged, "no library");
    const said = async (env: Record<string, string>) => {
      const ended = await runRanks(
        `const { cardLibrary } = await import("${dist}/distributed/index.js"); console.log(JSON.stringify(cardLibrary()));`,
        { size: 1, env: () => env },
      );
      return results(ended)[0];
    };
    expect(await said({ QWEN_PT_NCCL: path.join(dir, "none.so") })).toEqual({
      fault: `QWEN_PT_NCCL: ${dir}/none.so does not exist; mend the path or unset it`,
    });
    expect(await said({ QWEN_PT_NCCL: damaged })).toEqual({
      fault: expect.stringMatching(
        /^NCCL's library does not load \(.*too short\); build it again: `node scripts/,
      ),
    });
    expect(await said({ QWEN_PT_NCCL: library, STAND_IN_LIBTORCH: "2.12.0" })).toEqual({
      fault: expect.stringMatching(
        /\(it was built for libtorch 2\.12\.0, this one is 2\.\d+\.\d+\); build it again/,
      ),
    });
    expect(await said({ QWEN_PT_NCCL: library })).toEqual({ device: "cpu" });
  });
});

describe.skipIf(process.platform !== "linux")("a machine without NCCL's library", () => {
  it("says what brings it, and counts no cards for several processes", () => {
    expect(cardLibrary()).toEqual({
      fault:
        "NCCL's library is not built; install nvidia-cuda-crt and nvidia-cuda-cccl beside torch, then run `node scripts/nccl.mjs` in the package's folder; or set use_cpu: true, or nproc_per_node: 1",
    });
    expect(countCards()).toBe(0);
  });
});

describe.skipIf(process.platform !== "linux")("two processes that train by the backend of cards", () => {
  let runs: TinyRuns;
  beforeAll(() => {
    runs = new TinyRuns();
  });
  afterAll(() => {
    delete process.env["QWEN_PT_NCCL"];
    delete process.env["STAND_IN_LOG"];
    runs.remove();
  });

  it("take the steps of one process: data in parallel, a model in parts, rows in parts", async () => {
    process.env["QWEN_PT_NCCL"] = standIn();
    process.env["STAND_IN_LOG"] = runs.path("calls");
    const by = { ddp_backend: "nccl", ...runs.wide } as const;
    const rows = {
      parallelism_config: { cp_size: 2 },
      per_device_train_batch_size: 2,
      cutoff_len: 48,
    } as const;
    await trainRanks(2, [
      runs.recipe("parallel", { ...by, ...EVALUATED }),
      runs.recipe("full_shard", {
        ...by,
        fsdp: "full_shard auto_wrap",
        fsdp_config: { fsdp_backward_prefetch: "BACKWARD_PRE", forward_prefetch: true },
      }),
      runs.recipe("shard_grad_op", { ddp_backend: "nccl", ...FULL, fsdp: "shard_grad_op" }),
      runs.recipe("rows", { ...by, ...rows }),
    ]);
    const calls = new Set(
      readFileSync(runs.path("calls"), "utf8")
        .split("\n")
        .map((line) => line.split(" ")[0]),
    );
    for (const name of [
      "allreduce",
      "broadcast",
      "allgather",
      "reduce_scatter",
      "startCoalescing",
      "send",
      "recv",
    ])
      expect([...calls]).toContain(name);
    expect([...calls]).not.toContain("alltoall");
    await runs.alone("one", { ...runs.wide, ...EVALUATED });
    await runs.alone("one-plain", runs.wide);
    await runs.alone("one-full", FULL);
    await runs.alone("one-rows", { ...runs.wide, cutoff_len: 48 });
    for (const [two, one] of [
      ["parallel", "one"],
      ["full_shard", "one-plain"],
      ["rows", "one-rows"],
    ] as const) {
      expect(runs.apart(two, one, "grad_norm"), two).toBeLessThan(1e-9);
      expect(runs.weightsApart(two, one), two).toBeLessThan(1e-9);
    }
    expect(runs.evaluations("parallel")).toHaveLength(2);
    expect(runs.apart("shard_grad_op", "one-full", "loss")).toBeLessThan(1e-5);
    expect(runs.weightsApart("shard_grad_op", "one-full", "model")).toBeLessThan(1e-4);
  }, 300_000);
});
