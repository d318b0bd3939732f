// What products.test.ts runs in a process that has been told how to multiply: every form of a product, against float64.
import { createHash } from "node:crypto";
import { call, manualSeed, noGrad, productKinds, randn, scope, tensor } from "../../../dist/index.js";

export { call, productKinds };

const distance = (a, reference) => a.double().sub(reference).norm().item() / reference.norm().item();

/** What multiplies integers here, and a digest of its results: whole tiles and rests of them, several slabs, long sums. */
export function integerProducts() {
  const digest = createHash("sha256");
  let state = 1;
  const numbers = (rows, columns, dtype) => {
    const values = Float32Array.from({ length: rows * columns }, () => {
      state = (state * 1103515245 + 12345) % 2 ** 31;
      return (state >> 8) / 2 ** 22 - 1;
    });
    return tensor(values, { shape: [rows, columns] }).to(dtype);
  };
  for (const [tokens, outer, inner, dtype] of [
    [128, 96, 64, "bfloat16"],
    [67, 35, 70, "bfloat16"],
    [13, 40, 33, "float16"],
    [66, 24, 5000, "bfloat16"],
    [17, 9000, 512, "bfloat16"],
  ]) {
    const [x, w, dOut] = [
      numbers(tokens, inner, dtype),
      numbers(outer, inner, dtype),
      numbers(tokens, outer, dtype),
    ];
    for (const result of [
      call("qwen_pt::product", x, w, true, "int16"),
      call("qwen_pt::product", dOut, w, false, "int16"),
    ])
      digest.update(new Uint8Array(result.float().toArray().buffer));
  }
  return [call("qwen_pt::kernel_capability"), digest.digest("hex")];
}

/** How far each form of a product is from float64, relatively; of small matrices, or some sizes as large. */
export function matmulCases(times = 1) {
  manualSeed(5);
  const apart = {};
  const [m, k, n] = [40 * times, 30 * times, 50 * times];
  const narrow = (...shape) => randn(shape).to("bfloat16");
  scope(() =>
    noGrad(() => {
      const [a, b, c, row] = [narrow(m, k), narrow(k, n), narrow(m, n), narrow(n)];
      const [at, bt] = [narrow(k, m).t(), narrow(n, k).t()];
      const exact = (x, y) => x.double().matmul(y.double());
      for (const [name, x, y] of [
        ["rows by rows", a, b],
        ["rows by columns", a, bt],
        ["columns by rows", at, b],
        ["columns by columns", at, bt],
        [
          "strided",
          narrow(2 * m, 2 * k)
            .slice(0, 0, 2 * m, 2)
            .slice(1, 0, 2 * k, 2),
          b,
        ],
        ["one row", narrow(1, k), bt],
      ]) {
        apart[name] = distance(call("aten::mm", x, y), exact(x, y));
      }
      const options = { beta: 0.5, alpha: 2 };
      const sum = exact(a, b).mul(2).add(c.double().mul(0.5));
      apart.addmm = distance(call("aten::addmm", c, a, b, options), sum);
      apart["addmm of a row"] = distance(call("aten::addmm", row, a, b), exact(a, b).add(row.double()));
      apart["addmm_"] = distance(call("aten::addmm_", c.clone(), a, b, options), sum);
      const [x, y, z] = [narrow(3, 20, k), narrow(3, k, 10), narrow(3, 20, 10)];
      apart.bmm = distance(call("aten::bmm", x, y), exact(x, y));
      apart.baddbmm = distance(call("aten::baddbmm", z, x, y), exact(x, y).add(z.double()));
      apart.linear = distance(
        call("aten::linear", x, narrow(n, k).zero_().add(b.t()), row),
        exact(x, b).add(row.double()),
      );
      const half = [randn([20, 30]).to("float16"), randn([30, 10]).to("float16")];
      apart.float16 = distance(call("aten::mm", ...half), exact(...half));
      // a sum longer than a block, and results of more rows than one
      const [long, tall] = [narrow(n, 5000), narrow(5000, k)];
      apart["long sum"] = distance(call("aten::mm", long, tall), exact(long, tall));
      apart["many rows"] = distance(
        call(
          "aten::mm",
          tall,
          narrow(k, 20 * times)
            .zero_()
            .add(1),
        ),
        exact(
          tall,
          narrow(k, 20 * times)
            .zero_()
            .add(1),
        ),
      );
    }),
  );
  return apart;
}
