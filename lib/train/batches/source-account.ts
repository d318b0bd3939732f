// What a run has trained on, source by source: the mean loss since the last log entry, and the tokens so far. It takes
// what the trainer computed anyway; nothing is computed for it.

/** The result of one micro-step, all of whose blocks are from one source. */
export interface SourceLoss {
  /** Its number. */
  readonly source: number;
  /** Sum of -ln p, and the labels that it is divided by: those of the batch, as in the loss of a step. */
  readonly nats: number;
  readonly labels: number;
  readonly tokens: number;
}

interface Amounts {
  nats: number;
  labels: number;
  tokens: number;
}

/** By source. */
export type SourceAccountState = readonly Readonly<Amounts>[];

/** Losses and tokens of a run, source by source. */
export class SourceAccount {
  readonly #names: readonly string[];
  readonly #logsLoss: boolean;
  #amounts: Amounts[];

  /** @param logsLoss whether {@link entry} has anything to say */
  constructor(names: readonly string[], logsLoss: boolean) {
    this.#names = names;
    this.#logsLoss = logsLoss;
    this.#amounts = names.map(() => ({ nats: 0, labels: 0, tokens: 0 }));
  }

  /** Adds the micro-steps of a step that was applied. */
  add(losses: readonly SourceLoss[]): void {
    for (const { source, nats, labels, tokens } of losses) {
      const amounts = this.#amounts[source]!;
      amounts.nats += nats;
      amounts.labels += labels;
      amounts.tokens += tokens;
    }
  }

  /** Figures for a log entry: loss_NAME of what was trained on since the last, share_NAME of all tokens so far. */
  entry(): Record<string, number> {
    const entry: Record<string, number> = {};
    const all = this.#amounts.reduce((sum, { tokens }) => sum + tokens, 0);
    for (const [source, name] of this.#names.entries()) {
      const amounts = this.#amounts[source]!;
      if (this.#logsLoss && amounts.labels > 0) entry[`loss_${name}`] = amounts.nats / amounts.labels;
      if (this.#logsLoss && all > 0) entry[`share_${name}`] = amounts.tokens / all;
      amounts.nats = amounts.labels = 0;
    }
    return entry;
  }

  /** One line: the share of the tokens that each source really had. */
  summary(): string {
    const all = this.#amounts.reduce((sum, { tokens }) => sum + tokens, 0);
    const parts = this.#names.map((name, source) => {
      const { tokens } = this.#amounts[source]!;
      return `${name} ${((100 * tokens) / Math.max(1, all)).toFixed(2)} % (${tokens.toLocaleString("en-US")} tokens)`;
    });
    return `trained on: ${parts.join(", ")}`;
  }

  /** What a checkpoint keeps. */
  state(): SourceAccountState {
    return this.#amounts;
  }

  /** Goes on from a saved state; one for another number of sources is left aside. */
  restore(state: SourceAccountState): void {
    if (state.length === this.#names.length) this.#amounts = state.map((amounts) => ({ ...amounts }));
  }
}
