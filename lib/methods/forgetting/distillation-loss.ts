// Cross entropy and the divergence from a teacher's distribution at a language model's head, a chunk of rows at a time,
// so that neither model's full logits [tokens, vocabulary] exist. Made of ATen operators. When it is asked, and where
// the teacher comes from, is distillation.ts.
import { backward, enableGrad, noGrad, op, scope, type Tensor, zeros } from "../../torch/index.js";

const scatterAdd =
  op<(self: Tensor, dim: number, index: Tensor, src: Tensor) => Tensor>("aten::scatter_add_");
const logSoftmax = op<(self: Tensor, dim: number) => Tensor>("aten::log_softmax.int");

/** Chunks' float32 logits that exist at a time, in bytes. */
const CHUNK_BYTES = 64 << 20;
/** Tensors [rows, vocabulary] of a chunk that exist at a time: two models' logits, their softmaxes, a gradient. */
const BUFFERS = 6;

export interface DistillationSettings {
  /** w: the divergence's share of what is differentiated. */
  share: number;
  temperature: number;
  /** Multiplies everything. */
  scale: number;
  chunkBytes?: number;
}

/** Rows of normed hidden states and the head that makes logits of them: a weight alone, or any function. */
export interface HeadRows {
  /** [rows, d] */
  readonly rows: Tensor;
  /** [vocabulary, d], in the dtype of `rows`. */
  readonly weight: Tensor | undefined;
  /** [n, d] -> [n, vocabulary], where there is no weight alone; gradients go to the leaves that it uses. */
  logits(rows: Tensor): Tensor;
}

/** Sums over labelled rows, times `scale`, and gradients of the mixture where they are wanted. */
export interface DistillationLoss {
  /** 0-dimensional */
  crossEntropy: Tensor;
  /** T^2 KL(teacher || student), 0-dimensional */
  divergence: Tensor;
  /** [rows, d] */
  rowsGradient: Tensor | undefined;
  /** [vocabulary, d], float32 or wider */
  weightGradient: Tensor | undefined;
}

/**
 * Of a labelled row with student logits s, teacher logits t, temperature T and share w (Hinton et al. 2015,
 * arXiv:1503.02531): cross entropy -log softmax(s)[target], and divergence T^2 KL(softmax(t / T) || softmax(s / T)).
 * What is differentiated is (1 - w) cross entropy + w divergence; its gradient by s,
 * (1 - w) (softmax(s) - onehot) + w T (softmax(s / T) - softmax(t / T)), is made while a chunk's logits are at hand.
 * Of a head that is no weight alone the leaves' gradients are added to their `grad` at once.
 *
 * @param targets [rows] int64, -100 where none is wanted
 */
export function distillationLoss(
  student: HeadRows,
  teacher: HeadRows,
  targets: Tensor,
  settings: DistillationSettings,
): DistillationLoss {
  return scope(() => noGrad(() => inChunks(student, teacher, targets, settings)));
}

function inChunks(
  student: HeadRows,
  teacher: HeadRows,
  targets: Tensor,
  settings: DistillationSettings,
): DistillationLoss {
  const { rows, weight } = student;
  const count = rows.size(0);
  const wide = rows.dtype === "float64" ? "float64" : "float32";
  const zero = (shape: readonly number[], dtype = wide as Tensor["dtype"]): Tensor =>
    zeros([...shape], { dtype, device: rows.device });
  const sums: DistillationLoss = {
    crossEntropy: zero([]),
    divergence: zero([]),
    rowsGradient: rows.requiresGrad ? zero(rows.shape, rows.dtype) : undefined,
    weightGradient: weight?.requiresGrad ? zero(weight.shape) : undefined,
  };
  const vocabulary = scope(() => logitsOf(teacher, teacher.rows.narrow(0, 0, Math.min(1, count))).size(1));
  const { chunkBytes = CHUNK_BYTES } = settings;
  const step = Math.max(1, Math.floor(chunkBytes / (BUFFERS * vocabulary * 4)));
  for (let start = 0; start < count; start += step) {
    const length = Math.min(step, count - start);
    scope(() => {
      const part = (of: Tensor): Tensor => of.detach().narrow(0, start, length);
      const taught = logitsOf(teacher, part(teacher.rows)).to(wide);
      const inputs = part(rows);
      const asked = weight === undefined ? inputs.detach().requiresGrad_(rows.requiresGrad) : inputs;
      const logits =
        weight === undefined ? enableGrad(() => student.logits(asked)) : logitsOf(student, inputs);
      const byLogits = addLosses(sums, logits.detach().to(wide), taught, part(targets), settings).to(
        logits.dtype,
      );
      const into = sums.rowsGradient?.narrow(0, start, length);
      if (weight === undefined) {
        if (logits.requiresGrad) backward(logits, byLogits);
        if (asked.grad !== undefined) into?.copy_(asked.grad);
        return;
      }
      into?.copy_(byLogits.matmul(weight.detach()));
      sums.weightGradient?.add_(byLogits.t().matmul(inputs));
    });
  }
  return sums;
}

function logitsOf({ weight, logits }: HeadRows, rows: Tensor): Tensor {
  return weight === undefined ? logits(rows) : rows.matmul(weight.detach().t());
}

/** Adds a chunk's losses to the sums, gives the mixture's gradient by the student's logits, [rows, vocabulary]. */
function addLosses(
  sums: DistillationLoss,
  logits: Tensor,
  taught: Tensor,
  targets: Tensor,
  { share, temperature, scale }: DistillationSettings,
): Tensor {
  const ignored = targets.eq(-100);
  const index = targets.maskedFill(ignored, 0).unsqueeze(1); // [rows, 1]
  const soft = temperature === 1;
  const plain = logSoftmax(logits, 1);
  const entropy = plain.gather(1, index).squeeze(1).neg();
  sums.crossEntropy.add_(entropy.maskedFill(ignored, 0).sum().mul(scale));
  const pupil = soft ? plain : logSoftmax(logits.div(temperature), 1);
  const master = logSoftmax(soft ? taught : taught.div(temperature), 1);
  const wanted = master.exp();
  const divergence = master.sub_(pupil).mul_(wanted).sum([1]);
  sums.divergence.add_(
    divergence
      .maskedFill(ignored, 0)
      .sum()
      .mul(scale * temperature * temperature),
  );
  const gradient = pupil
    .exp()
    .sub_(wanted)
    .mul_(scale * share * temperature);
  const hard = scale * (1 - share);
  gradient.add_(plain.exp().mul_(hard));
  scatterAdd(gradient, 1, index, index.to(gradient.dtype).mul(0).sub(hard));
  return gradient.maskedFill_(ignored.unsqueeze(1), 0);
}
