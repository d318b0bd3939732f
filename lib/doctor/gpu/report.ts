// The report of `doctor --gpu`, as Markdown and JSON that may be shared: the machine is described without names of
// users, hosts or folders. Pure.
import type { Facts } from "../facts.js";
import type { Parity } from "./compare.js";
import type { RecipeRun } from "./steps.js";
import type { Timing } from "./timings.js";

export interface GpuReport {
  readonly version: string;
  readonly date: string;
  readonly device: string;
  readonly machine: Readonly<Record<string, string>>;
  /** What the fused kernels are compiled for, or why they do not run; undefined on the processor. */
  readonly kernels?: string;
  readonly parity: readonly Parity[];
  readonly runs: readonly RecipeRun[];
  readonly timings: readonly Timing[];
  readonly passed: boolean;
}

const gib = (bytes: number): string => `${(bytes / 1024 ** 3).toFixed(1)} GiB`;

/** The machine, in the words of its makers. */
export function describeMachine(facts: Facts): Record<string, string> {
  const { libtorch, addon, gpu, cpu, memory, compiler, platform, arch, node, glibc } = facts;
  const rows: Record<string, string | undefined> = {
    System: `${platform} ${arch}${glibc ? `, glibc ${glibc}` : ""}${facts.wsl ? `, WSL ${facts.wsl.version}` : ""}`,
    Container: facts.container,
    Node: node,
    Processor: `${cpu.model}, ${cpu.threads} threads, ${addon.loaded?.cpuCapability ?? "?"}`,
    Memory: gib(memory.limit ?? memory.total),
    Compiler: compiler && `${compiler.kind} ${compiler.version}`,
    libtorch: `${libtorch?.version ?? "?"}, CUDA ${libtorch?.cuda ?? "none"}`,
    "Code for": addon.loaded?.capabilities?.join(", "),
  };
  for (const [at, card] of gpu.cards.entries())
    rows[`GPU ${at}`] =
      `${card.name}, ${card.capability ?? "?"}, ${gib(card.memoryMiB * 1024 ** 2)}, driver ${card.driver}`;
  return Object.fromEntries(
    Object.entries(rows).filter((row): row is [string, string] => row[1] !== undefined),
  );
}

/** The text without what names a person or a place: every given name, longest first, becomes its stand-in. */
export function scrubbed(text: string, names: Readonly<Record<string, string>>): string {
  const sorted = Object.entries(names)
    .filter(([name]) => name.length > 1)
    .sort(([a], [b]) => b.length - a.length);
  return sorted.reduce((said, [name, instead]) => said.replaceAll(name, instead), text);
}

const figure = (value: number | undefined): string =>
  value === undefined ? "" : value === 0 ? "0" : value < 0.01 ? value.toExponential(1) : value.toPrecision(3);
const mark = (passed: boolean): string => (passed ? "ok" : "**no**");
const oneLine = (text: string): string => text.replace(/\s+/g, " ").replaceAll("|", "\\|").slice(0, 300);

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function parityTable(parity: readonly Parity[]): string {
  const rows = parity.map(({ name, dtype, distance, worst, bound, passed, error }) => [
    name,
    dtype,
    error ? oneLine(error) : `${figure(distance)} (${worst})`,
    figure(bound),
    mark(passed),
  ]);
  return table(["what", "dtype", "largest relative L2 distance", "bound", ""], rows);
}

function runTable(runs: readonly RecipeRun[]): string {
  const rows = runs.map(
    ({ precision, losses, tokensPerSecond, peakMemoryBytes, difference, passed, error }) => [
      precision,
      error ? oneLine(error) : `${losses[0]?.toFixed(4)} to ${losses.at(-1)?.toFixed(4)}`,
      difference === undefined ? "" : figure(difference),
      Number.isFinite(tokensPerSecond) ? String(Math.round(tokensPerSecond)) : "",
      gib(peakMemoryBytes),
      mark(passed),
    ],
  );
  return table(["precision", "loss", "difference from the processor", "tokens/s", "memory", ""], rows);
}

function timingTable(timings: readonly Timing[]): string {
  const rows = timings.map(({ name, shape, dtype, milliseconds, teraflops, gigabytes, error }) => [
    name,
    shape,
    dtype,
    error ? oneLine(error) : milliseconds.toPrecision(3),
    teraflops === undefined ? "" : teraflops.toPrecision(3),
    gigabytes === undefined ? "" : gigabytes.toPrecision(3),
  ]);
  return table(["operator", "shape", "dtype", "ms", "TFLOP/s", "GB/s"], rows);
}

/** The report as Markdown. */
export function reportMarkdown(report: GpuReport): string {
  const { version, date, device, machine, kernels, parity, runs, timings, passed } = report;
  const failed = [...parity, ...runs].filter((one) => !one.passed).length;
  const count = runs[0]?.losses.length ?? 0;
  return [
    `# qwen-pt ${version} on ${device}: ${passed ? "everything agrees" : `${failed} ${failed === 1 ? "check" : "checks"} failed`}`,
    `Made by \`qwen-pt doctor --gpu\` on ${date}. It names no user, host or folder.`,
    "## The machine",
    table(
      ["", ""],
      Object.entries(kernels === undefined ? machine : { ...machine, "Fused kernels": kernels }),
    ),
    "## Results beside the processor's in float64",
    "Values and gradients, on the same inputs rounded to the dtype. Of the model, the inputs are its weights.",
    parityTable(parity),
    `## ${count} steps of training`,
    "The example model and the prose corpus, blocks of 256 tokens, two a step.",
    runTable(runs),
    "## Speed",
    "Medians, at the shapes given; attention counts the causal half.",
    timingTable(timings),
    "",
  ].join("\n\n");
}
