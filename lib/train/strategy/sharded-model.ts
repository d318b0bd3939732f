// A model of which each process keeps a part: its blocks, its embedding and its head are units whose weights are gathered
// as a pass enters them and let go as it leaves, and whose gradients are reduced to each process's part when they are
// complete (ZeRO, Rajbhandari et al. 2019, arXiv:1910.02054; FSDP, Zhao et al. 2023, arXiv:2304.11277). How a unit is kept
// and talked about is flat-shard.ts; when a pass enters what, lib/step says.
import type { Sharding } from "../../config/index.js";
import { FlatShard, type OwnPart, type World } from "../../distributed/index.js";
import type { Division } from "../../methods/index.js";
import type { CausalModel } from "../../models/causal-model.js";
import type { Direction, Part, Passage } from "../../step/passage.js";
import { type Device, type DType, scope, type Tensor } from "../../torch/index.js";
import { byPart, type Named } from "./model-parts.js";
import type { Units } from "./strategy.js";

type Unit = readonly FlatShard[];

/** How a pass goes through a model whose weights come and go. */
export class ShardedModel implements Passage {
  /** What this process keeps of the trained parameters. */
  readonly parts: readonly OwnPart[];
  /** The model, unit by unit. */
  readonly units: Units;
  /** The same as methods meet it. */
  readonly division: Division;
  /** Where its weights are. */
  readonly device: Device;
  readonly #model: CausalModel;
  readonly #world: World;
  readonly #sharding: Sharding;
  readonly #blocks: readonly Unit[];
  readonly #embedding: Unit;
  readonly #head: Unit;
  /** Whose reduction is under way. */
  #reducing: Unit = [];
  #isHeld = false;

  /** @param dtype what trained parameters are kept in; undefined for their own */
  constructor(model: CausalModel, world: World, sharding: Sharding, dtype?: DType) {
    this.#model = model;
    this.#world = world;
    this.#sharding = sharding;
    const { embedding, blocks, head } = byPart(model);
    // a tied head computes with the embedding's table, and so may one that is no plain product
    const isApart = scope(() => {
      const { headWeight } = model;
      return head.some(([, parameter]) => parameter === headWeight);
    });
    // one after the other: of a model that lies in its file no process ever has more than its parts and one unit
    const unitOf = (named: readonly Named[]): Unit => flatShards(named, world, dtype);
    this.#blocks = blocks.map(unitOf);
    this.#embedding = unitOf(embedding);
    const own = unitOf(head);
    this.#head = isApart ? own : [...this.#embedding, ...own];
    const units = [this.#embedding, ...this.#blocks, own].filter((unit) => unit.length > 0);
    this.device = (this.#all()[0] as FlatShard).device;
    this.units = {
      names: units.map((unit) => unit.flatMap(({ names }) => names)),
      visit: (ranks, work) => this.#visit(units, ranks, work),
    };
    const byName = new Map<string, Tensor>(model.namedParameters());
    const parametersOf = (unit: Unit): Tensor[] =>
      unit.flatMap(({ names }) => names.map((name) => byName.get(name) as Tensor));
    const owned = new Map(
      units.flat().flatMap(({ parts }) => parts.map((own) => [byName.get(own.name), own] as const)),
    );
    this.division = {
      rank: world.rank,
      size: world.size,
      partOf: (parameter) => owned.get(parameter),
      sum: (values) => world.begin("allReduce", values).wait(),
      gathered(work) {
        for (const unit of units) {
          const trained = unit.filter(({ isTrained }) => isTrained);
          const there = new Set(parametersOf(trained));
          for (const flat of trained) flat.ready();
          work((parameter) => there.has(parameter));
          for (const flat of trained) {
            flat.reduce();
            flat.settle();
            flat.release();
          }
        }
      },
    };
    this.parts = this.#all().flatMap(({ parts }) => parts);
  }

  /** Its weights are gathered, and those of the part after it begun where the settings say so. */
  enter(part: Part, direction: Direction): void {
    if (this.#isHeld) return;
    for (const flat of this.#unit(part)) flat.gather();
    for (const flat of this.#unit(part)) flat.ready();
    if (this.#sharding.prefetch[direction]) for (const flat of this.#after(part, direction)) flat.gather();
  }

  /** Its weights are let go; backward, the reduction of its gradients begins. */
  leave(part: Part, direction: Direction): void {
    if (this.#isHeld) return;
    const unit = this.#unit(part);
    if (direction === "backward") {
      this.settle();
      for (const flat of unit) flat.reduce();
      this.#reducing = unit;
    }
    if (direction === "backward" || this.#sharding.level === "full") for (const flat of unit) flat.release();
  }

  /** Whatever is still in memory is let go. */
  end(): void {
    if (!this.#isHeld) for (const flat of this.#all()) flat.release();
  }

  /** Waits until every gradient has been reduced. */
  settle(): void {
    for (const flat of this.#reducing) flat.settle();
    this.#reducing = [];
  }

  /** Runs `work` with all weights in memory on rank 0, or the trained ones; the others help to gather them. */
  async whole<T>(work: () => Promise<T> | T, read?: "trained"): Promise<T> {
    if (this.#isHeld) return work();
    for (const flat of this.#all()) {
      if (read === "trained" && !flat.isTrained) continue;
      flat.ready();
      if (this.#world.rank > 0) flat.release();
    }
    this.#isHeld = this.#world.rank === 0;
    try {
      return await work();
    } finally {
      this.#isHeld = false;
      this.end();
    }
  }

  /**
   * Gives every process its part of what `work` leaves of the trained weights on rank 0, where it meets them, or puts others
   * in their place.
   */
  async renew(work: () => void, how: "changes" | "replaces"): Promise<void> {
    const isMain = this.#world.rank === 0;
    const trained = this.#all().filter(({ isTrained }) => isTrained);
    if (how === "changes")
      for (const flat of trained) {
        flat.ready();
        if (!isMain) flat.release();
      }
    if (isMain) work();
    const named = this.#model.stateDict();
    // one after the other: of weights that were replaced there is no more in memory than that
    const [replaced = 0] = await this.#world.sum([
      Number(isMain && trained.every((flat) => flat.differs(named))),
    ]);
    if (how === "changes" || replaced > 0) for (const flat of trained) flat.renew(named);
  }

  /** In rounds of a unit for each rank: all help to gather, one after the other, what all then work on together. */
  #visit(units: readonly Unit[], ranks: readonly number[], work: (unit: number) => void): void {
    const place = ranks.indexOf(this.#world.rank);
    for (let first = 0; first < units.length; first += ranks.length) {
      const round = units.slice(first, first + ranks.length);
      for (const [at, unit] of round.entries())
        for (const flat of unit) {
          flat.ready();
          if (at !== place) flat.release();
        }
      const own = round[place];
      if (own === undefined) continue;
      work(first + place);
      for (const flat of own) flat.release();
    }
  }

  #all(): readonly FlatShard[] {
    return [...new Set([...this.#embedding, ...this.#blocks.flat(), ...this.#head])];
  }

  #unit(part: Part): Unit {
    if (part === "embedding") return this.#embedding;
    return part === "head" ? this.#head : (this.#blocks[part] as Unit);
  }

  /** What a pass enters next. */
  #after(part: Part, direction: Direction): Unit {
    const last = this.#blocks.length;
    const at = part === "embedding" ? -1 : part === "head" ? last : part;
    const next = at + (direction === "forward" ? 1 : -1);
    if (next < 0) return []; // the way back seldom needs the table
    return next < last ? (this.#blocks[next] as Unit) : this.#head;
  }
}

/** Parameters by dtype and by whether they are trained. */
function flatShards(named: readonly Named[], world: World, dtype: DType | undefined): Unit {
  const kinds = new Map<string, Named[]>();
  const keptIn = ({ dtype: own, requiresGrad }: Tensor): DType => (requiresGrad ? (dtype ?? own) : own);
  for (const one of named) {
    const kind = `${keptIn(one[1])} ${one[1].requiresGrad}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), one]);
  }
  return [...kinds.values()].map((alike) => new FlatShard(alike, world, keptIn((alike[0] as Named)[1])));
}
