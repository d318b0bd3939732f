// Rows for tokens that a vocabulary gained: the embedding's, and an untied head's, initialised from the rows of the pieces that
// each token replaces. Old rows stay as they are. Which tokens they are: see lib/methods; LLaMA-Factory's own
// way to begin rows is in resize-vocabulary.ts.
import type { Embedding, Linear } from "../nn/index.js";
import { cat, empty, keep, noGrad, scope, type Tensor, tensor } from "../torch/index.js";
import type { FamilyModel } from "./family.js";
import { rowsFor } from "./resize-vocabulary.js";

/** How new rows begin. */
export interface PieceStart {
  /** The mean of the pieces' rows, or the mean of all rows with noise. */
  readonly init: "mean" | "noise";
  /** The first new token's id. */
  readonly first: number;
  /** Tokens of the tokenizer, the new ones included. */
  readonly tokens: number;
  /** Ids of each new token's pieces, in the order of their ids; what is left out begins with the mean of all rows. */
  readonly pieces: readonly Int32Array[];
}

/** Ids of the rows that are new: the new tokens', and those behind them that pad an enlarged table. */
export function newRows({ first, tokens }: PieceStart, rows: number, before: number): number[] {
  const end = rows > before ? rows : tokens;
  return Array.from({ length: Math.max(0, end - first) }, (_, i) => first + i);
}

/**
 * Gives the embedding and an untied head rows for new tokens: in place of those that the table has to spare, and behind
 * them where it has too few. A head's rows begin from the head's own. Noise, with the standard deviation
 * 1 / sqrt(width), is drawn from torch's global CPU generator, for the embedding first.
 */
export function addRows(model: FamilyModel, start: PieceStart): void {
  const embed = model.inputEmbedding as Embedding;
  const head = model.outputHead as Linear;
  const old = embed.weight;
  const tied = head.weight === old;
  const rows = rowsFor(start.tokens, old.shape[0] as number);
  const wide = withRows(old, rows, start);
  const wideHead = tied ? wide : withRows(head.weight, rows, start);
  if (!tied) head.weight.dispose();
  old.dispose();
  embed.weight = wide;
  head.weight = wideHead;
  (model as { config: typeof model.config }).config = { ...model.config, vocab_size: rows };
}

function withRows(old: Tensor, rows: number, { init, first, tokens, pieces }: PieceStart): Tensor {
  const [count, width] = old.shape as [number, number];
  const known = Math.min(first, count);
  const wide = scope(() =>
    noGrad(() => {
      const table = old.detach();
      const mean = table.narrow(0, 0, known).float().mean([0]);
      const padding = mean
        .unsqueeze(0)
        .expand([rows - count, width])
        .to(table.dtype);
      const whole = rows > count ? cat([table, padding], 0) : table.clone();
      if (init === "noise") {
        const noise = empty([tokens - first, width]).normal_(0, 1 / Math.sqrt(width));
        whole.narrow(0, first, tokens - first).copy_(noise.to({ device: table.device }).add(mean));
        return whole;
      }
      for (let id = first; id < tokens; id++) {
        const own = pieces[id - first];
        whole.select(0, id).copy_(own === undefined || own.length === 0 ? mean : meanOf(table, own));
      }
      return whole;
    }),
  );
  return keep(wide);
}

/** In float32, or the table's float64. */
function meanOf(table: Tensor, ids: Int32Array): Tensor {
  return scope(() => {
    const found = table.indexSelect(0, tensor(ids, { dtype: "int64", device: table.device }));
    return (found.dtype === "float64" ? found : found.float()).mean([0]);
  });
}
