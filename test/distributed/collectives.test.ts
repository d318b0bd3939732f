// Collectives between real processes over loopback, against sums and orders worked out by hand.
import { describe, expect, it } from "vitest";
import { runRanks } from "./ranks.js";

const results = (ended: { out: string; err: string }[]) =>
  ended.map(({ out, err }) => (err === "" ? JSON.parse(out) : err));

describe.skipIf(process.platform !== "linux")("collectives", () => {
  it("of three ranks give what the sums by hand give, in every dtype", async () => {
    const ended = await runRanks(
      `const world = await init();
       const of = (dtype) => t.tensor([rank + 1, 10 * (rank + 1)], { dtype });
       const out = {};
       for (const dtype of ["float32", "float64", "bfloat16", "float16", "int64"])
         out[dtype] = (await world.allReduce(of(dtype))).to("float64").tolist();
       out.max = (await world.allReduce(of("float32"), "max")).tolist();
       out.broadcast = (await world.broadcast(of("float32"), 2)).tolist();
       out.gather = (await world.allGather(of("float32"))).tolist();
       out.scatter = (await world.reduceScatter(t.tensor([[0, 1], [2, 3], [4, rank]]))).tolist();
       out.sum = await world.sum([0.1, rank]);
       await world.barrier();
       await world.close();
       console.log(JSON.stringify(out));`,
      { size: 3 },
    );
    expect(results(ended)).toEqual(
      [0, 1, 2].map((rank) => ({
        float32: [6, 60],
        float64: [6, 60],
        bfloat16: [6, 60],
        float16: [6, 60],
        int64: [6, 60],
        max: [3, 30],
        broadcast: [3, 30],
        gather: [
          [1, 10],
          [2, 20],
          [3, 30],
        ],
        scatter: [
          [
            [0, 3],
            [6, 9],
            [12, 3],
          ][rank],
        ],
        sum: [0.1 + 0.1 + 0.1, 3],
      })),
    );
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0]);
  });

  it("go on beside each other and leave the event loop free", async () => {
    const ended = await runRanks(
      `const world = await init();
       let ticks = 0;
       const timer = setInterval(() => ticks++, 5);
       if (rank === 1) await after(300);
       const many = Array.from({ length: 20 }, (_, i) => world.allReduce(t.full([1000], i + rank)));
       const received = world.receive(t.zeros([3]), 1 - rank, 7);
       await world.send(t.full([3], rank + 5), 1 - rank, 7);
       const sums = (await Promise.all(many)).map((x) => x.at(0).item());
       clearInterval(timer);
       console.log(JSON.stringify({ sums, received: (await received).tolist(), free: rank === 1 || ticks > 20 }));
       await world.close();`,
    );
    const sums = Array.from({ length: 20 }, (_, i) => 2 * i + 1);
    expect(results(ended)).toEqual([
      { sums, received: [6, 6, 6], free: true },
      { sums, received: [5, 5, 5], free: true },
    ]);
  });

  it("that do not fit are refused on every rank, and the group stays as it was", async () => {
    const ended = await runRanks(
      `const world = await init();
       const out = [await failure(world.allReduce(t.zeros([rank === 0 ? 4 : 400_000])))];
       out.push(await failure(world.allReduce(t.zeros([4], { dtype: rank === 0 ? "float32" : "float64" }))));
       out.push(await failure(rank === 0 ? world.broadcast(t.zeros([4])) : world.allReduce(t.zeros([4]))));
       out.push(await failure(world.allReduce(t.zeros([4, 4]).t().slice(0, 0, 2))));
       out.push((await world.allReduce(t.full([2], 1))).tolist());
       await world.close();
       console.log(JSON.stringify(out));`,
    );
    const disagree = "DistributedError: the ranks do not agree on a collective: rank 0 has";
    const expected = [
      `${disagree} all-reduce of 4 Float, rank 1 all-reduce of 400000 Float`,
      `${disagree} all-reduce of 4 Float, rank 1 all-reduce of 4 Double`,
      `${disagree} broadcast of 4 Float from rank 0, rank 1 all-reduce of 4 Float`,
      "TypeError: a collective takes contiguous tensors on the CPU, or of the cards that the group was joined with",
      [2, 2],
    ];
    expect(results(ended)).toEqual([expected, expected]);
  });

  it("that a thread blocks for say how much of them it did not wait for", async () => {
    const ended = await runRanks(
      `const { default: diagnostics } = await import("node:diagnostics_channel");
       const said = [];
       diagnostics.subscribe("qwen-pt:waits", (times) => said.push(times));
       const world = await init();
       const value = t.zeros([4_000_000]);
       world.begin("allReduce", value).wait();
       const later = world.begin("allReduce", value);
       const end = performance.now() + 2000;
       while (performance.now() < end); // computes meanwhile
       later.wait();
       await world.close();
       const [first, second] = said;
       console.log(JSON.stringify([said.length, first.moving > 0, first.hidden < first.moving, second.hidden === second.moving]));`,
    );
    expect(results(ended)).toEqual([
      [2, true, true, true],
      [2, true, true, true],
    ]);
  });

  it("of a process that is alone do nothing", async () => {
    const [alone] = await runRanks(
      `const world = await init();
       const x = await world.allReduce(t.full([2], 3));
       console.log(JSON.stringify([world.size, x.tolist(), (await world.allGather(x)).tolist(), await world.sum([2])]));`,
      { size: 1 },
    );
    expect(JSON.parse(alone!.out)).toEqual([1, [3, 3], [[3, 3]], [2]]);
  });
});
