// Rows of an embedding or a head that are trained while the rest of the table stays frozen: PEFT's trainable tokens.
// For tokens that a vocabulary gained. How the rows begin is not decided here: they start as the table has them.

import { UserError } from "../errors.js";
import { Embedding, Linear, Module } from "../nn/index.js";
import type { Device, Tensor } from "../torch/index.js";
import { embedding, keep, linear, noGrad, op, scope, tensor, where } from "../torch/index.js";

const indexCopy =
  op<(self: Tensor, dim: number, index: Tensor, source: Tensor) => Tensor>("aten::index_copy");

/** Trained rows by the name of the table: PEFT's trainable_token_indices. */
export type TokenIndices = Readonly<Record<string, readonly number[]>>;

/** A frozen table, some of whose rows are trained. It stands in for an embedding or for a head. */
export class TokenRows extends Module {
  /** The frozen table: weight [count, width]. */
  base_layer: Embedding | Linear;
  /** [rows, width]; one tensor for the embedding and the head of a tied model. */
  rows: Tensor;
  /** Without it the table is used as it was. */
  enabled = true;
  readonly #places: Places;

  /** @param rows the embedding's, for the head of a tied model */
  constructor(
    base: Embedding | Linear,
    readonly indices: readonly number[],
    rows?: Tensor,
  ) {
    super();
    this.base_layer = base;
    base.requiresGrad_(false);
    this.#places = new Places(indices, base.weight.shape[0] as number);
    this.rows = rows ?? this.#first();
  }

  #first(): Tensor {
    const { weight } = this.base_layer;
    const own = scope(() =>
      noGrad(() => {
        const rows = weight.detach().indexSelect(0, this.#places.on(weight.device).index);
        return weight.dtype === "float64" ? rows : rows.float();
      }),
    );
    return keep(own).requiresGrad_();
  }

  /** An embedding: ids [...] -> [..., width]. A head: x [..., width] -> logits [..., count]. */
  forward(x: Tensor): Tensor {
    const base = this.base_layer;
    if (!this.enabled) return base.forward(x);
    if (base instanceof Linear) return linear(x, this.weight as Tensor);
    const { table } = this.#places.on(x.device);
    const place = table.indexSelect(0, x.flatten()).view([...x.shape]);
    const old = base.forward(x);
    const own = embedding(this.rows, place.clamp(0)).to(old.dtype);
    return where(place.ge(0).unsqueeze(-1), own, old);
  }

  /** A head's whole table with the trained rows in place, which autograd follows; undefined for an embedding. */
  get weight(): Tensor | undefined {
    if (!(this.base_layer instanceof Linear)) return undefined;
    return this.enabled ? this.#whole() : this.base_layer.weight;
  }

  #whole(): Tensor {
    const { weight } = this.base_layer;
    const { index } = this.#places.on(weight.device);
    return indexCopy(weight, 0, index, this.rows.to(weight.dtype));
  }

  /** The table with the rows written into it, in its own dtype; `done` remembers what a tied partner has made. */
  merge(done: Map<Tensor, Tensor>): Embedding | Linear {
    const base = this.base_layer;
    const old = base.weight;
    let merged = done.get(old);
    if (merged === undefined) {
      merged = keep(scope(() => noGrad(() => this.#whole().detach())));
      done.set(old, merged);
    }
    base.weight = merged;
    return base;
  }
}

/** Where the rows lie, made on the device where it is first asked for. They are no parameters: no field of a module. */
class Places {
  readonly #indices: readonly number[];
  readonly #count: number;
  readonly #made = new Map<Device, { index: Tensor; table: Tensor }>();

  constructor(indices: readonly number[], count: number) {
    this.#indices = indices;
    this.#count = count;
  }

  /** `index`, of [rows], is the id of each trained row; `table`, of [count], the trained row of each id, or -1. */
  on(device: Device): { index: Tensor; table: Tensor } {
    let made = this.#made.get(device);
    if (made === undefined) {
      const table = new BigInt64Array(this.#count).fill(-1n);
      for (const [row, id] of this.#indices.entries()) table[id] = BigInt(row);
      const index = BigInt64Array.from(this.#indices, BigInt);
      made = { index: keep(tensor(index, { device })), table: keep(tensor(table, { device })) };
      this.#made.set(device, made);
    }
    return made;
  }
}

/**
 * Trains rows of the tables that `indices` names, by the ends of their paths; the rest of them is frozen. A head that
 * is tied to its embedding shares the embedding's rows, as in PEFT, and is not named.
 * Throws UserError for a table that is not there, or not a plain one, and for a row that it does not have.
 */
export function addTokenRows(model: Module, indices: TokenIndices): void {
  const tables = [...model.namedModules()].filter(
    (entry): entry is [string, Embedding | Linear] =>
      entry[1] instanceof Embedding || entry[1] instanceof Linear,
  );
  for (const [name, ids] of Object.entries(indices)) {
    const found = tables.filter(([path]) => path === name || path.endsWith(`.${name}`));
    const [first] = found;
    if (first === undefined || found.length > 1)
      throw new UserError(
        `trainable tokens: ${name} is no single embedding or head; leave it out of lora_target and additional_target`,
      );
    const [path, base] = first;
    const count = base.weight.shape[0] as number;
    const outside = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= count);
    if (outside !== undefined)
      throw new UserError(
        `trainable tokens: ${name} has ${count} rows and none for token ${outside}; is it the adapter of another base model?`,
      );
    const wrapped = new TokenRows(base, ids);
    model.replace(path, wrapped);
    for (const [other, tied] of tables) {
      if (tied !== base && tied.weight === base.weight)
        model.replace(other, new TokenRows(tied, ids, wrapped.rows));
    }
  }
}
