// What of a model is divided among the processes of a run: the words of `fsdp`, and what they and DeepSpeed's stages mean.
// The keys of their settings are in rules/sharding.ts.
import { custom, Mismatch, Refusal } from "../key.js";

/** What of a run's model is sharded, and what is fetched early. */
export interface Sharding {
  /** Weights too (ZeRO 3), or gradients and the optimizer's state alone (ZeRO 1 and 2). */
  readonly level: "full" | "gradients";
  /** Whether the next block's weights are gathered while one computes, on either way. */
  readonly prefetch: { readonly forward: boolean; readonly backward: boolean };
}

const WORDS = ["full_shard", "shard_grad_op", "no_shard", "auto_wrap"] as const;
/** A word of `fsdp`. */
export type FsdpWord = (typeof WORDS)[number];
const LATER = ["hybrid_shard", "hybrid_shard_zero2", "offload"];

const EXPECTED = `words of ${WORDS.join(", ")}`;

/** The words of `fsdp`; none where it is empty. */
export const fsdpWords = custom<FsdpWord[] | null, string | boolean | readonly string[]>({
  default: null,
  type: EXPECTED,
  wantsText: true,
  json: { type: ["string", "boolean", "array"], items: { enum: [...WORDS] } },
  doc: "What is divided among the processes: full_shard divides weights, gradients and the optimizer's state block by block, shard_grad_op all but the weights, no_shard nothing; auto_wrap is how it is done in any case.",
  read(value) {
    if (typeof value === "boolean") return value ? ["full_shard", "auto_wrap"] : null;
    const words: unknown[] =
      typeof value === "string" ? value.split(/[\s,]+/).filter(Boolean) : (value as []);
    if (!Array.isArray(words)) throw new Mismatch(EXPECTED);
    for (const word of words) {
      if (LATER.includes(String(word))) throw new Refusal(`${word} is not built; choose ${EXPECTED}`);
      if (!(WORDS as readonly unknown[]).includes(word)) throw new Mismatch(EXPECTED);
    }
    const found = words as FsdpWord[];
    if (found.filter((word) => word !== "auto_wrap").length > 1)
      throw new Mismatch(`one of ${WORDS.slice(0, 3).join(", ")}, with or without auto_wrap`);
    return found;
  },
});

/** A settings file, or what would be in it. */
export function settingsKey(doc: string) {
  const expected = "a JSON file's path, or keys and values";
  return custom<string | Readonly<Record<string, unknown>> | null>({
    default: null,
    type: expected,
    wantsText: true,
    json: { type: ["string", "object"] },
    doc,
    read(value) {
      const isKeys = typeof value === "object" && value !== null && !Array.isArray(value);
      if (!isKeys && (typeof value !== "string" || value === "")) throw new Mismatch(expected);
      return value as string | Record<string, unknown>;
    },
  });
}

/** The keys that say what is sharded. */
export interface ShardingKeys {
  readonly fsdp: readonly FsdpWord[] | null;
  readonly fsdp_config: string | Readonly<Record<string, unknown>> | null;
  readonly deepspeed: string | Readonly<Record<string, unknown>> | null;
}

/** What a resolved recipe divides; undefined for nothing. */
export function shardingOf({ fsdp, fsdp_config, deepspeed }: ShardingKeys): Sharding | undefined {
  if (deepspeed !== null) {
    const { stage = 0, overlap_comm } = (Object(deepspeed)["zero_optimization"] ?? {}) as Record<
      string,
      unknown
    >;
    const prefetch = { forward: overlap_comm === true, backward: overlap_comm === true };
    return stage === 0 ? undefined : { level: stage === 3 ? "full" : "gradients", prefetch };
  }
  if (fsdp === null || fsdp.length === 0) return undefined;
  const kind = fsdp.find((word) => word !== "auto_wrap") ?? "full_shard";
  if (kind === "no_shard") return undefined;
  const settings = Object(fsdp_config ?? {}) as Record<string, unknown>;
  const isFull = kind === "full_shard" && settings["reshard_after_forward"] !== false;
  return {
    level: isFull ? "full" : "gradients",
    prefetch: {
      forward: settings["forward_prefetch"] === true,
      backward: settings["backward_prefetch"] === "backward_pre",
    },
  };
}
