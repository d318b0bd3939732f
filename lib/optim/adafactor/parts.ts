// Adafactor over parts of parameters, which several processes update: a part's squares are added to its rows' and columns'
// sums, and those are added up over the processes; then the updates' squares, by which updates are clipped. Two sums a step,
// of few numbers: what a matrix's state is, and one a parameter.

import { noGrad, scope, type Tensor, zeros } from "../../torch/index.js";
import type { ParameterGroup, Whole } from "../groups.js";
import type { Divided, OptimizerKind } from "../optimizer.js";
import type { GroupSettings, UpdatedParameter } from "../stateful.js";
import {
  Adafactor,
  type AdafactorOptions,
  adafactorForms,
  adafactorWorking,
  EPSILON,
  follow,
  rowFactors,
  wide,
} from "./adafactor.js";

const product = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);

/** A part of a parameter of matrices, [..., height, columns], laid out in its rows. */
class RowPart {
  /** Its rows, counted over all matrices: the first, and how many. */
  readonly first: number;
  readonly count: number;
  readonly columns: number;
  readonly height: number;
  /** Elements of the first row that are not its. */
  readonly #skipped: number;
  readonly #length: number;

  constructor({ shape, from }: Whole, length: number) {
    this.columns = shape.at(-1) as number;
    this.height = shape.at(-2) as number;
    this.first = Math.floor(from / this.columns);
    this.count = Math.ceil((from + length) / this.columns) - this.first;
    this.#skipped = from - this.first * this.columns;
    this.#length = length;
  }

  /** [count, columns], with zeros for what is not its. */
  rowsOf(values: Tensor): Tensor {
    const { count, columns } = this;
    if (this.#length === count * columns) return values.view([count, columns]);
    const { dtype, device } = values;
    const rows = zeros([count * columns], { dtype, device });
    this.valuesOf(rows).copy_(values);
    return rows.view([count, columns]);
  }

  /** The part's own elements, [length], of such rows. */
  valuesOf(rows: Tensor): Tensor {
    return rows.view([-1]).narrow(0, this.#skipped, this.#length);
  }

  /** Its matrices in turn, with the first of their rows here, and their number. */
  *matrices(): Generator<readonly [matrix: number, from: number, rows: number]> {
    const end = this.first + this.count;
    for (let row = this.first; row < end; ) {
      const matrix = Math.floor(row / this.height);
      const next = Math.min(end, (matrix + 1) * this.height);
      yield [matrix, row - this.first, next - row];
      row = next;
    }
  }
}

/** Where a parameter's sums are: of its rows, and behind them of its columns. */
interface Place {
  /** Of the parameter among all. */
  readonly index: number;
  readonly at: number;
  readonly rows: number;
  readonly columns: number;
}

/** A part at work in a step. */
interface PartAtWork {
  readonly own: UpdatedParameter;
  readonly group: GroupSettings;
  readonly place: Place;
  /** Undefined for vectors, whose squares have a mean each. */
  readonly inRows: RowPart | undefined;
}

/** The optimizer over what one process has of the parameters. It takes its steps together with the others. */
class AdafactorOfParts extends Adafactor {
  readonly #among: Divided;
  readonly #places = new Map<string, Place>();
  readonly #sizes: readonly number[];
  readonly #sums: number;

  constructor(groups: readonly ParameterGroup[], options: AdafactorOptions, among: Divided) {
    super(groups, options);
    this.#among = among;
    let at = 0;
    for (const [name, { shape }] of among.forms) {
      const index = this.#places.size;
      const rows = shape.length < 2 ? 0 : product(shape.slice(0, -1));
      const columns = shape.length < 2 ? 0 : product(shape) / (shape.at(-2) as number);
      this.#places.set(name, { index, at, rows, columns });
      at += rows + columns;
    }
    this.#sums = at;
    this.#sizes = [...among.forms.values()].map(({ shape }) => product(shape));
  }

  /** Updates this process's parts of every parameter that has a gradient, in place. */
  override step(): void {
    scope(() =>
      noGrad(() => {
        const parts = this.#parts();
        const sums = this.#summed(this.#sums, (all) => {
          for (const part of parts) scope(() => addSquares(part, all));
        });
        for (const part of parts) scope(() => this.#moveMeans(part, sums));
        const squares = this.#summed(this.#sizes.length, (all) => {
          for (const part of parts)
            scope(() => void all.narrow(0, part.place.index, 1).add_(updateOf(part).square().sum()));
        });
        for (const part of parts)
          scope(() => {
            const { index } = part.place;
            const mean = squares.narrow(0, index, 1).div(this.#sizes[index] as number);
            const update = updateOf(part);
            this.apply(part.own, update, mean.sqrt().to(update.dtype), part.group);
          });
      }),
    );
  }

  #parts(): PartAtWork[] {
    return [...this.due()].flatMap(([parts, group]) =>
      parts.map((own) => {
        const place = this.#places.get(own.name) as Place;
        const inRows = place.rows === 0 ? undefined : new RowPart(own.whole as Whole, own.parameter.numel());
        return { own, group, place, inRows };
      }),
    );
  }

  /** Numbers to which every process adds its share. */
  #summed(count: number, add: (all: Tensor) => void): Tensor {
    const [form] = this.#among.forms.values();
    const all = zeros([count], {
      dtype: "float64",
      ...(form?.device !== undefined && { device: form.device }),
    });
    add(all);
    this.#among.sum(all);
    return all;
  }

  #moveMeans(part: PartAtWork, sums: Tensor): void {
    const { own, place, inRows } = part;
    const { state } = own;
    const kept = this.countStep(own);
    if (inRows === undefined) {
      follow(state["exp_avg_sq"] as Tensor, squaresOf(part), kept);
      return;
    }
    const move = (entry: string, at: number, count: number, of: number): void => {
      const mean = state[entry] as Tensor;
      follow(
        mean,
        sums
          .narrow(0, at, count)
          .div(of)
          .to(mean.dtype)
          .view([...mean.shape]),
        kept,
      );
    };
    move("exp_avg_sq_row", place.at, place.rows, inRows.columns);
    move("exp_avg_sq_col", place.at + place.rows, place.columns, inRows.height);
  }
}

const gradientOf = ({ parameter, gradient }: UpdatedParameter): Tensor => gradient.to(wide(parameter.dtype));

const squaresOf = ({ own }: PartAtWork): Tensor => gradientOf(own).pow(2).add_(EPSILON);

/** Adds the squares of a matrix's part to the sums of its rows and columns. */
function addSquares(part: PartAtWork, all: Tensor): void {
  const { place, inRows } = part;
  if (inRows === undefined) return;
  const squares = inRows.rowsOf(squaresOf(part));
  all.narrow(0, place.at + inRows.first, inRows.count).add_(squares.sum([-1]));
  for (const [matrix, from, rows] of inRows.matrices()) {
    const columns = all.narrow(0, place.at + place.rows + matrix * inRows.columns, inRows.columns);
    columns.add_(squares.narrow(0, from, rows).sum([0]));
  }
}

/** The gradient over the root of its squares' running mean: of the part's shape. */
function updateOf({ own, inRows }: PartAtWork): Tensor {
  const { state } = own;
  const gradient = gradientOf(own);
  if (inRows === undefined) return (state["exp_avg_sq"] as Tensor).rsqrt().mul_(gradient);
  const factors = rowFactors(state["exp_avg_sq_row"] as Tensor).view([-1, 1]);
  const columns = (state["exp_avg_sq_col"] as Tensor).view([-1, 1, inRows.columns]).rsqrt();
  const update = inRows.rowsOf(gradient).mul(factors.narrow(0, inRows.first, inRows.count));
  for (const [matrix, from, rows] of inRows.matrices())
    update.narrow(0, from, rows).mul_(columns.narrow(0, matrix, 1).squeeze(0));
  return inRows.valuesOf(update);
}

/** `optim: adafactor`. */
export const adafactor: OptimizerKind = {
  state: adafactorForms,
  working: adafactorWorking,
  make: (groups, { learningRate }) => new Adafactor(groups, { learningRate }),
  makeDivided: (groups, { learningRate }, among) => new AdafactorOfParts(groups, { learningRate }, among),
};
