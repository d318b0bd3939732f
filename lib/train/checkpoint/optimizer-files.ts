// The optimizer's state on the disk: one file where every process has all of it, else a file of each process with its parts,
// which say what of a parameter they are. Any number of processes reads either: each takes the elements that are its.
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { UserError } from "../../errors.js";
import { jsonOf } from "../../files/json-file.js";
import { count, list, table } from "../../files/shape.js";
import type { Optimizer } from "../../optim/index.js";
import { cat, empty, SafetensorsFile, saveSafetensors, type Tensor } from "../../torch/index.js";
import type { Extent } from "../strategy/strategy.js";

/** A checkpoint's file of the optimizer's state, where it is one. */
export const OPTIMIZER_FILE = "optimizer.safetensors";
const PART = /^optimizer-(\d{5})-of-(\d{5})\.safetensors$/;
/** Of a part's metadata: by parameter, the first element, their number, the parameter's shape. */
const EXTENTS = "extents";

const partFile = (rank: number, size: number): string => {
  const number = (value: number): string => String(value).padStart(5, "0");
  return `optimizer-${number(rank + 1)}-of-${number(size)}.safetensors`;
};

/** Elements of a parameter that a process updates. */
export type Extents = ReadonlyMap<string, Extent>;

/** Writes the state of the whole optimizer. */
export function saveOptimizer(dir: string, optimizer: Optimizer): void {
  saveSafetensors(path.join(dir, OPTIMIZER_FILE), optimizer.stateDict(), { format: "pt" });
}

/** Writes what process `rank` of `size` has of the state, beside the others' files; gives its file's name. */
export function saveOptimizerPart(
  dir: string,
  optimizer: Optimizer,
  { rank, size }: { readonly rank: number; readonly size: number },
  extents: Extents,
): string {
  const name = partFile(rank, size);
  const said = Object.fromEntries(
    [...extents].map(([name, { from, length, shape }]) => [name, [from, length, ...shape]]),
  );
  saveSafetensors(path.join(dir, name), optimizer.stateDict(), {
    format: "pt",
    [EXTENTS]: JSON.stringify(said),
  });
  return name;
}

/** A run of a parameter's elements in some file. */
interface Run {
  readonly from: number;
  readonly shape: readonly number[];
  /** [length], or a single number that counts for all elements. */
  readonly values: Tensor;
  /** All of it, in its own shape, whatever part is asked for. */
  readonly isShared?: boolean;
}

/**
 * The saved state of a whole optimizer, or of the elements in `extents`: what `loadStateDict` takes.
 * @throws UserError where a file of the state is missing or damaged
 */
export function readOptimizer(
  dir: string,
  extents: Extents | undefined,
  { runs: lengths = {}, shared = [] }: Pick<Optimizer, "runs" | "shared"> = {},
): Map<string, Tensor> {
  const entryOf = (key: string): string => key.slice(key.lastIndexOf(".") + 1);
  const lengthOf = (key: string): number => lengths[entryOf(key)] ?? 1;
  const runs = runsOf(dir, lengthOf, (key) => shared.includes(entryOf(key)));
  const found = new Map<string, Tensor>();
  for (const [key, pieces] of runs) {
    const extent = extents?.get(key.slice(0, key.lastIndexOf(".")));
    if (extents !== undefined && extent === undefined) continue; // others' alone
    found.set(key, assembled(key, pieces, extent && inRuns(extent, lengthOf(key)), dir));
  }
  return found;
}

/** The numbers that there are for an extent, where one stands for as many elements. */
function inRuns({ from, length, shape }: Extent, elements: number): Extent {
  if (elements === 1) return { from, length, shape };
  const whole = shape.reduce((product, size) => product * size, 1);
  const count = (end: number): number => Math.ceil(end / elements);
  return { from: count(from), length: count(length), shape: [count(whole)] };
}

/** Every entry's runs, from whatever files there are; of what is shared, the first. */
function runsOf(
  dir: string,
  lengthOf: (key: string) => number,
  isShared: (key: string) => boolean,
): Map<string, Run[]> {
  const runs = new Map<string, Run[]>();
  for (const name of filesOf(dir)) {
    const file = SafetensorsFile.open(path.join(dir, name));
    const extents = extentsOf(file);
    for (const key of file.names) {
      const values = file.tensor(key);
      if (isShared(key)) {
        if (!runs.has(key)) runs.set(key, [{ from: 0, shape: values.shape, values, isShared: true }]);
        continue;
      }
      const said = extents?.[key.slice(0, key.lastIndexOf("."))];
      const [first = 0, count = 0, ...sizes] = said ?? [0, 0, ...values.shape];
      const part = { from: first, length: count, shape: sizes };
      const { from, shape } = said === undefined ? part : inRuns(part, lengthOf(key));
      const isSingle = values.ndim === 0;
      const run = { from, shape, values: isSingle || values.ndim === 1 ? values : values.reshape([-1]) };
      runs.set(key, [...(runs.get(key) ?? []), run]);
    }
    file.close();
  }
  return runs;
}

function filesOf(dir: string): string[] {
  if (existsSync(path.join(dir, OPTIMIZER_FILE))) return [OPTIMIZER_FILE];
  const parts = readdirSync(dir).filter((name) => PART.test(name));
  const size = Number(PART.exec(parts[0] ?? "")?.[2] ?? 1);
  const all =
    parts.length === 0 ? [OPTIMIZER_FILE] : Array.from({ length: size }, (_, rank) => partFile(rank, size));
  const missing = all.find((name) => !existsSync(path.join(dir, name)));
  if (missing !== undefined)
    throw new UserError(`${path.join(dir, missing)} is missing; resume from another checkpoint`);
  return all;
}

function extentsOf(file: SafetensorsFile): Record<string, number[]> | undefined {
  const text = file.metadata[EXTENTS];
  if (text === undefined) return undefined;
  const place = `${file.path}: ${EXTENTS} of its metadata`;
  return jsonOf(text, place, table(list(count)), { remedy: "resume from another checkpoint" });
}

/** The elements of an extent, or the whole tensor, out of the runs that have them. */
function assembled(key: string, pieces: readonly Run[], extent: Extent | undefined, dir: string): Tensor {
  const [first] = pieces as [Run];
  if (first.values.ndim === 0 || first.isShared === true) return first.values;
  const { shape } = first;
  const whole = shape.reduce((product, size) => product * size, 1);
  const { from, length } = extent ?? { from: 0, length: whole };
  const taken: Tensor[] = [];
  let at = from;
  for (const run of [...pieces].sort((a, b) => a.from - b.from)) {
    const end = Math.min(run.from + run.values.numel(), from + length);
    if (run.from > at || end <= at) continue;
    taken.push(run.values.narrow(0, at - run.from, end - at));
    at = end;
  }
  if (at < from + length)
    throw new UserError(
      `${dir}: the optimizer's files have elements ${from} to ${at} of "${key}", and ${from + length} are wanted; resume from another checkpoint`,
    );
  const [only, ...more] = taken;
  const flat = more.length > 0 ? cat(taken) : (only ?? empty([0], { dtype: first.values.dtype }));
  return extent === undefined ? flat.reshape([...shape]) : flat;
}
