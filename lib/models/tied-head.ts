// The head of a model that says it is tied: whether a checkpoint has another one, and the model that keeps it. Merging an
// adapter that trained both tables leaves such a folder behind. Not here: what tied training does.

import { Linear } from "../nn/index.js";
import { empty, op, scope, type Tensor } from "../torch/index.js";
import type { FamilyModel } from "./family.js";
import type { StoredTensor } from "./files/checkpoint-files.js";

const equal = op<(self: Tensor, other: Tensor) => boolean>("aten::equal");

/** Whether lm_head.weight is there and is not the embedding: its numbers are compared, a name says nothing. */
export function hasHeadOfItsOwn(stored: ReadonlyMap<string, StoredTensor>): boolean {
  const head = stored.get("lm_head.weight")?.tensor;
  const table = stored.get("model.embed_tokens.weight")?.tensor;
  if (head === undefined || table === undefined) return false;
  if (head.shape.join() !== table.shape.join()) return true;
  return scope(() => !equal(head.dtype === table.dtype ? head : head.to(table.dtype), table));
}

/** Gives a tied model that has no weights yet a head for another table, and says so in its config. */
export function untie(model: FamilyModel): void {
  const { outputHead: head, config } = model;
  if (!(head instanceof Linear)) return;
  const { shape, dtype, device } = head.weight;
  head.weight = empty([...shape], { dtype, device });
  (model as { config: typeof config }).config = { ...config, tie_word_embeddings: false };
}
