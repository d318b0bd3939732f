// What products.test.ts runs in a process that has been told how to multiply: every form of a product, against float64.
import { call, manualSeed, noGrad, productKinds, randn, scope } from "../../../dist/index.js";

export { call, productKinds };

const distance = (a, reference) => a.double().sub(reference).norm().item() / reference.norm().item();

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
