// Several methods as the loop asks them: in their order, gradients masked after all have added to them.
import { UserError } from "../errors.js";
import type { Division, Figures, MethodReport, TrainingMethod } from "./training-method.js";

/** The methods of a run; with none of them nothing happens and nothing is computed. */
export class AllMethods {
  /** Of the one method that has an objective; undefined where plain cross entropy is differentiated. */
  readonly objective: TrainingMethod["objective"];
  readonly #methods: readonly TrainingMethod[];

  constructor(methods: readonly TrainingMethod[]) {
    this.#methods = methods;
    const owners = methods.filter((method) => method.objective !== undefined);
    if (owners.length > 1) throw new UserError("two methods want to replace the loss; keep one of them");
    const [owner] = owners;
    this.objective =
      owner &&
      ((batch, lossScale) => (owner.objective as NonNullable<TrainingMethod["objective"]>)(batch, lossScale));
  }

  divide(division: Division): void {
    for (const method of this.#methods) method.divide?.(division);
  }

  async begin(resumed: string | undefined): Promise<void> {
    for (const method of this.#methods) await method.begin?.(resumed);
  }

  startWindow(): void {
    for (const method of this.#methods) method.startWindow?.();
  }

  changeGradients(): void {
    for (const method of this.#methods) method.addGradients?.();
    for (const method of this.#methods) method.maskGradients?.();
  }

  get sharedFigures(): string[] {
    return this.#methods.flatMap((method) => method.sharedFigures ?? []);
  }

  figures(): Figures {
    return Object.assign({}, ...this.#methods.map((method) => method.figures?.()));
  }

  afterStep(): void {
    for (const method of this.#methods) method.afterStep?.();
  }

  save(dir: string): void {
    for (const method of this.#methods) method.save?.(dir);
  }

  async finish(): Promise<MethodReport[]> {
    const found: MethodReport[] = [];
    for (const method of this.#methods) {
      const report = await method.finish?.();
      if (report !== undefined) found.push(report);
    }
    return found;
  }
}
