// What products.test.ts runs in a process that has been told how to multiply: every form of a product, against float64.
import { call, manualSeed, noGrad, randn, scope } from "../../../dist/index.js";

export { call };

const distance = (a, reference) => a.double().sub(reference).norm().item() / reference.norm().item();

/** How far each form of a product is from float64, relatively. */
export function matmulCases() {
  manualSeed(5);
  const apart = {};
  const narrow = (...shape) => randn(shape).to("bfloat16");
  scope(() =>
    noGrad(() => {
      const [a, b, c, row] = [narrow(40, 30), narrow(30, 50), narrow(40, 50), narrow(50)];
      const [at, bt] = [narrow(30, 40).t(), narrow(50, 30).t()];
      const exact = (x, y) => x.double().matmul(y.double());
      for (const [name, x, y] of [
        ["rows by rows", a, b],
        ["rows by columns", a, bt],
        ["columns by rows", at, b],
        ["columns by columns", at, bt],
        ["strided", narrow(80, 60).slice(0, 0, 80, 2).slice(1, 0, 60, 2), b],
        ["one row", narrow(1, 30), bt],
      ]) {
        apart[name] = distance(call("aten::mm", x, y), exact(x, y));
      }
      const options = { beta: 0.5, alpha: 2 };
      const sum = exact(a, b).mul(2).add(c.double().mul(0.5));
      apart.addmm = distance(call("aten::addmm", c, a, b, options), sum);
      apart["addmm of a row"] = distance(call("aten::addmm", row, a, b), exact(a, b).add(row.double()));
      apart["addmm_"] = distance(call("aten::addmm_", c.clone(), a, b, options), sum);
      const [x, y, z] = [narrow(3, 20, 30), narrow(3, 30, 10), narrow(3, 20, 10)];
      apart.bmm = distance(call("aten::bmm", x, y), exact(x, y));
      apart.baddbmm = distance(call("aten::baddbmm", z, x, y), exact(x, y).add(z.double()));
      apart.linear = distance(
        call("aten::linear", x, narrow(50, 30).zero_().add(b.t()), row),
        exact(x, b).add(row.double()),
      );
      const half = [randn([20, 30]).to("float16"), randn([30, 10]).to("float16")];
      apart.float16 = distance(call("aten::mm", ...half), exact(...half));
      // a sum longer than a block, and results of more rows than one
      const [long, tall] = [narrow(50, 5000), narrow(5000, 30)];
      apart["long sum"] = distance(call("aten::mm", long, tall), exact(long, tall));
      apart["many rows"] = distance(
        call("aten::mm", tall, narrow(30, 20).zero_().add(1)),
        exact(tall, narrow(30, 20).zero_().add(1)),
      );
    }),
  );
  return apart;
}
