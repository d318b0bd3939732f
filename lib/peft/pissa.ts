// PiSSA (Meng et al. 2024, arXiv:2404.02948): an adapter begins as a weight's leading singular vectors, and the weight
// keeps the rest. With PEFT's decompositions, draws included.
import type { Tensor } from "../torch/index.js";
import { keep, noGrad, op, randn, scope } from "../torch/index.js";

/** PEFT's name of a decomposition: exact, or by a number of subspace iterations. */
export type PissaInit = "pissa" | `pissa_niter_${number}`;

const svd = op<(A: Tensor, fullMatrices: boolean) => [Tensor, Tensor, Tensor]>("aten::linalg_svd");
const qr = op<(A: Tensor) => [Tensor, Tensor]>("aten::linalg_qr");
const diagonal = op<(self: Tensor) => Tensor>("aten::diag");

/** Whether PEFT's `init_lora_weights` names this start. */
export function isPissa(init: unknown): init is PissaInit {
  return typeof init === "string" && /^pissa(_niter_\d+)?$/.test(init);
}

/**
 * Leading singular triples of a weight [out, in] by randomised subspace iteration (Halko et al. 2009,
 * arXiv:0909.4061, algorithm 5.1), as torch.svd_lowrank computes them. Draws from the weight's device's generator.
 */
function lowRank(weight: Tensor, rank: number, iterations: number): [Tensor, Tensor, Tensor] {
  const wide = (weight.shape[0] as number) < (weight.shape[1] as number);
  const tall = wide ? weight.t() : weight;
  let basis = qr(tall.matmul(randn([tall.shape[1] as number, rank], { device: tall.device })))[0];
  for (let i = 0; i < iterations; i++) {
    basis = qr(tall.t().matmul(basis))[0];
    basis = qr(tall.matmul(basis))[0];
  }
  const [inner, values, right] = svd(basis.t().matmul(tall), false);
  const left = basis.matmul(inner);
  return wide ? [right.t(), values, left.t()] : [left, values, right];
}

/** A [rank, in], B [out, rank] and the residual weight in the weight's dtype. W = residual + scaling * B A. */
export function pissaParts(
  weight: Tensor,
  init: PissaInit,
  rank: number,
  scaling: number,
): { a: Tensor; b: Tensor; residual: Tensor } {
  const [a, b, residual] = scope(() =>
    noGrad(() => {
      const wide = weight.detach().float();
      const [left, values, right] =
        init === "pissa" ? exact(wide, rank) : lowRank(wide, rank, iterationsOf(init));
      const root = diagonal(values.div(scaling).sqrt());
      const a = root.matmul(right);
      const b = left.matmul(root);
      return [a, b, wide.sub(b.mul(scaling).matmul(a)).to(weight.dtype)] as const;
    }),
  );
  return { a: keep(a), b: keep(b), residual: keep(residual) };
}

function exact(weight: Tensor, rank: number): [Tensor, Tensor, Tensor] {
  const [left, values, right] = svd(weight, false);
  return [left.narrow(1, 0, rank), values.narrow(0, 0, rank), right.narrow(0, 0, rank)];
}

function iterationsOf(init: PissaInit): number {
  return Number(init.split("_niter_")[1]);
}
