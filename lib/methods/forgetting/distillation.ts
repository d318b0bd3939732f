// Distillation from the base model: the trained model's predictions are drawn towards those that the model made before
// training, on the very text that it learns from (Li and Hoiem 2016, arXiv:1606.09282). The arithmetic is
// distillation-loss.ts.
import type { Batch } from "../../data/index.js";
import type { CausalModel } from "../../models/index.js";
import { lastHidden } from "../../step/last-hidden.js";
import type { ObjectiveOf } from "../../step/objective.js";
import { inPart, passageOf } from "../../step/passage.js";
import { autocast, type DType, keep, noGrad, type Tensor } from "../../torch/index.js";
import type { Figures, TrainingMethod } from "../training-method.js";
import { distillationLoss, type HeadRows } from "./distillation-loss.js";

/** What a {@link Distillation} works with. */
export interface DistillationOptions {
  /** The model that trains. */
  student: CausalModel;
  /** The model before training: another copy, or the student itself, which computes so inside `asTeacher`. */
  teacher: CausalModel;
  /** Runs a computation with the teacher's weights. */
  asTeacher<T>(body: () => T): T;
  /** w of (1 - w) * cross entropy + w * divergence. */
  share: number;
  /** T: what both models' logits are divided by. */
  temperature: number;
  /** autocast's dtype; undefined computes in the weights' own. */
  compute: DType | undefined;
}

/**
 * Differentiates (1 - w) cross entropy + w T^2 KL(teacher || student) at every labelled position, each a mean over the
 * window's positions. The loss that is logged stays the cross entropy; the divergence is logged as `distill_loss`.
 * The teacher sees the same tokens, with documents packed apart where they are, without dropout and without noise.
 */
export class Distillation implements TrainingMethod {
  /** Its figure is a sum over the window's batches, over all processes. */
  readonly sharedFigures = ["distill_loss"];
  readonly #options: DistillationOptions;
  #divergence: Tensor | undefined;
  #lossScale = 1;

  constructor(options: DistillationOptions) {
    this.#options = options;
  }

  /** Forgets the divergence of the window before. */
  startWindow(): void {
    this.#divergence?.dispose();
    this.#divergence = undefined;
  }

  /** The loss of a batch; see the class. */
  objective(batch: Batch, lossScale: number): ObjectiveOf {
    const { student, share, temperature } = this.#options;
    const taught = this.#teacherRows(batch);
    this.#lossScale = lossScale;
    return (hidden, targets, scale) => {
      const rows = student.norm(hidden).flatten(0, 1);
      const own = this.#head(student, rows, (body) => body());
      const { rowsGradient, weightGradient, crossEntropy, divergence } = distillationLoss(
        own,
        taught,
        targets,
        {
          ...{ share, temperature, scale },
        },
      );
      this.#add(divergence);
      // a scalar whose gradients are those that were made already
      const parts = [
        ...(rowsGradient === undefined ? [] : [own.rows.mul(rowsGradient).sum()]),
        ...(weightGradient === undefined || own.weight === undefined
          ? []
          : [own.weight.mul(weightGradient.to(own.weight.dtype)).sum()]),
      ];
      const [first, ...rest] = parts;
      return { total: rest.reduce((sum, part) => sum.add(part), first ?? crossEntropy), crossEntropy };
    };
  }

  /** The teacher's normed hidden states of a batch, and its head. */
  #teacherRows(batch: Batch): HeadRows {
    const { teacher, asTeacher, compute } = this.#options;
    const wasTraining = teacher.training;
    teacher.eval();
    try {
      return asTeacher(() => {
        const device = (teacher.parameters()[0] as Tensor).device;
        const under = (body: () => Tensor): Tensor => noGrad(() => autocast(compute, body, device));
        const hidden = under(() => lastHidden(teacher, batch));
        return inPart(passageOf(teacher), "head", () => {
          const rows = under(() => teacher.norm(hidden).flatten(0, 1));
          return this.#head(teacher, rows, asTeacher);
        });
      });
    } finally {
      teacher.train(wasTraining);
    }
  }

  #head(model: CausalModel, rows: Tensor, as: <T>(body: () => T) => T): HeadRows {
    const weight = model.headWeight;
    const dtype = this.#options.compute ?? weight?.dtype ?? rows.dtype;
    const logits = (some: Tensor): Tensor => as(() => model.head(some));
    return { rows: rows.to(dtype), weight: weight?.to(dtype), logits };
  }

  #add(divergence: Tensor): void {
    if (this.#divergence === undefined) this.#divergence = keep(noGrad(() => divergence.clone()));
    else noGrad(() => this.#divergence?.add_(divergence));
  }

  /** `distill_loss`: the mean divergence over the window's tokens. */
  figures(): Figures {
    return { distill_loss: (this.#divergence?.item() ?? 0) / this.#lossScale };
  }
}
