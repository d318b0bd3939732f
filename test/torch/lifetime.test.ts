// When tensors are freed: scopes, keep, dispose, and what forgets nothing over a thousand training steps.
// Processes and threads are in processes.test.ts.
import { describe, expect, it } from "vitest";
import {
  arange,
  cat,
  DisposedError,
  grad,
  keep,
  liveTensors,
  ops,
  ScopeError,
  scope,
  type Tensor,
  tensor,
  zeros,
} from "../../lib/torch/index.js";
import { native } from "../../lib/torch/native.js";
import { collect } from "../fixtures/collect.js";

/** How many tensors `body` leaves behind. */
function left(body: () => unknown): number {
  collect();
  const before = liveTensors();
  body();
  return liveTensors() - before;
}

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

describe("scope", () => {
  it("frees everything made inside, and nothing else", () => {
    const outside = tensor([1]);
    const inside: Tensor[] = [];
    const result = scope(() => {
      inside.push(outside.add(1), outside.mul(2));
      return 42;
    });
    expect(result).toBe(42);
    expect(inside.map((x) => x.isDisposed)).toEqual([true, true]);
    expect(outside.isDisposed).toBe(false);
  });

  it("lets out what it returns: alone, in arrays, objects, Maps, Sets, classes, cycles", () => {
    class Pair {
      constructor(
        readonly a: Tensor,
        readonly self: { pair?: Pair } = {},
      ) {
        self.pair = this;
      }
    }
    const made = (n: number): Tensor => tensor([n]);
    const kept = scope(() => {
      made(99);
      return {
        alone: made(0),
        list: [made(1), [made(2)]],
        map: new Map([["k", { v: made(3) }]]),
        set: new Set([made(4)]),
        pair: new Pair(made(5)),
        nothing: null,
        bytes: new Float32Array(2),
      };
    });
    const [three] = [...kept.map.values()].map(({ v }) => v);
    const all = [
      kept.alone,
      kept.list[0],
      (kept.list[1] as Tensor[])[0],
      three,
      ...kept.set,
      kept.pair.a,
    ] as Tensor[];
    expect(all.map((x) => x.item())).toEqual([0, 1, 2, 3, 4, 5]);
    expect(left(() => scope(() => [made(1), made(2), made(3)].slice(1)))).toBe(2);
  });

  it("gives what it returns to the scope around it", () => {
    collect();
    const before = liveTensors();
    let inner: Tensor | undefined;
    scope(() => {
      inner = scope(() => tensor([1]).add(1));
      expect(inner.item()).toBe(2);
      expect(liveTensors()).toBe(before + 1);
    });
    expect(inner?.isDisposed).toBe(true);
    expect(liveTensors()).toBe(before);
  });

  it("returning a tensor from outside does not move it", () => {
    const outside = tensor([1]);
    scope(() => {
      scope(() => outside);
    });
    expect(outside.isDisposed).toBe(false);
  });

  it("frees everything when its body throws, and passes the error on", () => {
    const error = new Error("from the body");
    collect();
    const before = liveTensors();
    expect(() =>
      scope(() => {
        tensor([1]);
        scope(() => {
          tensor([2]);
          throw error;
        });
      }),
    ).toThrow(error);
    expect(liveTensors()).toBe(before);
    expect(native().scopeDepth()).toBe(0);
  });

  it("may close before backward runs", () => {
    const x = tensor([3], { requiresGrad: true });
    const loss = scope(() => x.mul(x).exp().mul(2));
    loss.backward();
    expect(x.grad?.item()).toBeCloseTo(2 * 6 * Math.exp(9), 0);
  });

  it("frees gradients' handles, not the gradients", () => {
    const x = tensor([3], { requiresGrad: true });
    const inside = scope(() => {
      x.mul(2).backward();
      const handle = x.grad as Tensor;
      expect(handle.item()).toBe(2);
      return [handle].map((each) => () => each.isDisposed);
    });
    expect(inside[0]?.()).toBe(true);
    expect(x.grad?.item()).toBe(2);
  });

  it("awaits an asynchronous body", async () => {
    const inside: Tensor[] = [];
    const result = await scope(async () => {
      const first = tensor([1]);
      await pause(1);
      inside.push(first, tensor([5]));
      return { sum: first.add(1) };
    });
    expect(result.sum.item()).toBe(2);
    await expect(
      scope(async () => {
        inside.push(tensor([1]));
        await pause(1);
        throw new Error("later");
      }),
    ).rejects.toThrow("later");
    expect(inside.map((x) => x.isDisposed)).toEqual([true, true, true]);
  });

  it("may hold synchronous scopes while an asynchronous one is open", async () => {
    const result = await scope(async () => {
      let sum = zeros([1]);
      for (let i = 0; i < 3; i++) {
        sum = scope(() => sum.add(tensor([i])));
        await pause(1);
      }
      return sum.item();
    });
    expect(result).toBe(3);
  });

  it("refuses to overlap with another asynchronous one, and recovers", async () => {
    const long = scope(async () => {
      await pause(20);
      return tensor([1]);
    });
    const short = scope(async () => {
      tensor([2]);
      await pause(1);
      return tensor([3]);
    });
    // `long` opened first and `short` closes first: that is nesting.
    expect((await short).item()).toBe(3);
    await long;
    expect(native().scopeDepth()).toBe(0);

    const inside: Tensor[] = [];
    const first = scope(async () => {
      inside.push(tensor([1]));
      await pause(1);
      inside.push(tensor([1]));
      return inside[1];
    });
    const second = scope(async () => {
      await pause(20);
      return tensor([2]);
    });
    await expect(first).rejects.toThrow(ScopeError);
    await expect(first).rejects.toThrow(/overlap.*awaited/);
    const kept = await second;
    expect(kept.item()).toBe(2);
    // Nothing is left open, nothing of the refused scope is left alive, and a later scope works.
    expect(native().scopeDepth()).toBe(0);
    expect(inside.map((x) => x.isDisposed)).toEqual([true, true]);
    expect(scope(() => tensor([4]).add(1)).item()).toBe(5);
  });

  it("frees tensors of an inner scope that its caller holds on to", () => {
    let leaked: Tensor | undefined;
    scope(() => {
      leaked = tensor([1]);
    });
    expect(() => leaked?.add(1)).toThrow(DisposedError);
  });
});

describe("keep", () => {
  it("takes a tensor out of every scope", () => {
    let kept: Tensor | undefined;
    scope(() => {
      scope(() => {
        kept = keep(tensor([7]).add(0));
        expect(keep(kept)).toBe(kept);
      });
    });
    expect(kept?.item()).toBe(7);
    kept?.dispose();
  });

  it("of a tensor outside any scope does nothing; of a disposed one neither", () => {
    const x = tensor([1]);
    expect(keep(x).item()).toBe(1);
    x.dispose();
    expect(keep(x).isDisposed).toBe(true);
  });
});

describe("dispose", () => {
  it("may be called twice; every later use throws", () => {
    const x = tensor([[1, 2]]);
    x.dispose();
    x.dispose();
    expect(x.isDisposed).toBe(true);
    for (const use of [
      () => x.add(1),
      () => x.toArray(),
      () => x.tolist(),
      () => x.grad,
      () => x.requiresGrad,
      () => x.strides,
      () => x.shape,
      () => cat([x, x]),
      () => x.add_(1),
      () => grad(x, [x]),
    ]) {
      expect(use).toThrow(DisposedError);
    }
  });

  it("drops one reference: views, graphs and gradients go on", () => {
    const base = tensor([1, 2]);
    const view = base.view([2, 1]);
    base.dispose();
    expect(view.tolist()).toEqual([[1], [2]]);
    const x = tensor([2], { requiresGrad: true });
    const y = x.mul(3);
    const z = y.mul(y);
    y.dispose();
    z.backward();
    expect(x.grad?.item()).toBe(36);
  });

  it("inside a scope, before it closes", () => {
    expect(
      left(() =>
        scope(() => {
          const x = tensor([1]);
          x.dispose();
          return x;
        }),
      ),
    ).toBe(0);
  });

  it("of a view or a copy of one tensor leaves the other handle", () => {
    const x = tensor([1]);
    const same = x.to("float32");
    expect(same).not.toBe(x);
    same.dispose();
    expect(x.item()).toBe(1);
  });
});

describe("nothing is left behind by", () => {
  const x = arange(24).float().view([2, 3, 4]);
  const half = x.to("bfloat16");
  const indices = tensor([1n, 0n]);
  const cases: [string, number, () => unknown][] = [
    [
      "tensor() with a dtype, a shape, a device",
      3,
      () => [
        tensor([1, 2], { dtype: "bfloat16" }),
        tensor([1, 2], { shape: [2, 1], dtype: "int64" }),
        tensor([1], { device: "meta" }),
      ],
    ],
    ["toArray of bfloat16", 0, () => half.toArray()],
    ["tolist", 0, () => half.tolist()],
    ["item", 0, () => x.at(0, 0, 0).dispose()],
    ["printing, short and long", 0, () => [String(x), String(half)]],
    ["at() with several items", 1, () => x.at(1, { start: 1 }, 2)],
    ["at() with a tensor of indices", 1, () => x.at(0, indices, null)],
    ["metadata", 0, () => [x.shape, x.strides, x.dtype, x.device, x.isLeaf, x.requiresGrad, x.grad]],
    ["an in-place method", 0, () => x.add_(0)],
    ["an in-place operator", 0, () => ops.add_(x, 0)],
    ["an operator that fails", 0, () => expect(() => x.mm(x)).toThrow()],
    ["tuples and lists, a handle for each", 5, () => [x.max(), ...ops.maxDim(x, 0), ...x.chunk(2, 0)]],
  ];
  for (const [what, count, body] of cases) {
    it(what, () => expect(left(body)).toBe(count));
  }

  it("printing a long tensor", () => {
    const long = zeros([5000]);
    expect(left(() => String(long))).toBe(0);
  });
});
