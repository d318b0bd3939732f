// What a run has logged: the history in trainer_state.json, and a line for each entry in trainer_log.jsonl. When to log
// is decided elsewhere; how a line looks is in output/trainer-log.ts.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Recipe } from "../../config/index.js";
import type { TrainEvent } from "../../events.js";
import { writeWhole } from "../../files/output-file.js";
import { type Device, deviceMemory, isAccelerator } from "../../torch/index.js";
import type { LogEntry } from "../checkpoint/trainer-state.js";
import { type PeakMemory, TrainerLog } from "../output/trainer-log.js";

/** LLaMA-Factory's file of log lines. */
export const LOG_FILE = "trainer_log.jsonl";

/** What a {@link History} works with. */
export interface HistoryOptions {
  recipe: Recipe;
  totalSteps: number;
  device: Device;
  /** Whether trainer_log.jsonl is written by this process. */
  writes: boolean;
  onEvent?: (event: TrainEvent) => void;
}

/** Where a run stands when something is logged. */
export interface Position {
  readonly step: number;
  readonly epoch: number;
  readonly tokensSeen: number;
}

/** The entries of a run, and its log file. */
export class History {
  /** transformers' log_history: every entry so far, of earlier runs too. */
  readonly entries: LogEntry[] = [];
  readonly #options: HistoryOptions;
  #log: TrainerLog | undefined;

  constructor(options: HistoryOptions) {
    this.#options = options;
  }

  /** Opens the log file; of a resumed run's it drops what was written after the checkpoint. */
  open(start: Pick<Position, "step" | "tokensSeen">): void {
    const { recipe, totalSteps, writes } = this.#options;
    if (!writes) return;
    const file = path.join(recipe.output_dir, LOG_FILE);
    const resumed = start.step > 0;
    const logged = this.entries.filter(({ step }) => step === start.step).length;
    if (resumed) dropLaterLines(file, start.step, logged);
    this.#log = new TrainerLog({
      file,
      totalSteps,
      startStep: start.step,
      startTokens: start.tokensSeen,
      // a run that was killed before its first checkpoint begins at step 1 again: its lines would be there twice
      append: resumed,
    });
  }

  /**
   * Appends an entry to the history and a line to trainer_log.jsonl, with the epoch and the tokens seen.
   * @returns the entry without its step
   */
  log(figures: LogEntry, { step, epoch, tokensSeen }: Position): LogEntry {
    const { recipe, onEvent } = this.#options;
    const counted = recipe.include_num_input_tokens_seen !== "no";
    const entry: LogEntry = {
      ...figures,
      epoch,
      ...(counted && { num_input_tokens_seen: tokensSeen }),
    };
    this.entries.push({ ...entry, step });
    const line = this.#log?.write(entry, step, counted ? tokensSeen : 0, this.#peak());
    if (line !== undefined) onEvent?.({ type: "log", entry: { ...entry, step }, line: { ...line } });
    return entry;
  }

  /** What is logged from now on is reported and kept in the history, but trainer_log.jsonl is complete. */
  close(): void {
    this.#log?.close();
  }

  #peak(): PeakMemory | undefined {
    const { device } = this.#options;
    const wanted = ["1", "true", "y"].includes((process.env["RECORD_VRAM"] ?? "").toLowerCase());
    if (!wanted || !isAccelerator(device)) return undefined;
    const { peakAllocated, peakReserved } = deviceMemory(device);
    return { allocated: peakAllocated, reserved: peakReserved };
  }
}

/**
 * Lines of trainer_log.jsonl that an earlier run wrote after the checkpoint now resumed: they will be written again.
 * Of the checkpoint's own step there are `logged` lines; a closing line, which looks like an evaluation's, may follow.
 */
function dropLaterLines(file: string, step: number, logged: number): void {
  if (!existsSync(file)) return;
  const text = readFileSync(file, "utf8");
  const lines = text.split("\n").filter((line) => line !== "");
  let here = 0;
  const kept = lines.filter((line) => {
    if (!line.endsWith("}")) return false; // cut short when the run was killed
    const found = /"current_steps": (\d+)/.exec(line);
    const at = found === null ? 0 : Number(found[1]);
    return at < step || (at === step && ++here <= logged);
  });
  if (kept.length < lines.length || (text !== "" && !text.endsWith("\n")))
    writeWhole(file, kept.map((line) => `${line}\n`).join(""));
}
