// trainer_log.jsonl: one line per log event, as LLaMA-Factory writes it and its board reads it.
// Knows how a line looks; the trainer decides when to log.
import { rmSync } from "node:fs";
import { appendLine, writeError } from "../../files/output-file.js";
import { pythonJson, pythonRound, pythonTimedelta } from "../../files/python-json.js";
import { INTEGER_KEYS, type LogEntry } from "../checkpoint/trainer-state.js";

/** One line, keys in the file's order. */
export interface LogLine {
  current_steps: number;
  total_steps: number;
  loss?: number;
  eval_loss?: number;
  lr?: number;
  epoch?: number;
  percentage: number;
  elapsed_time: string;
  remaining_time: string;
  throughput?: number;
  total_tokens?: number;
  vram_allocated?: number;
  vram_reserved?: number;
}

/** Options of a {@link TrainerLog}. */
export interface TrainerLogOptions {
  file: string;
  totalSteps: number;
  /** Steps, and tokens, that an earlier run had behind it: time left and throughput count only this run's own. */
  startStep?: number;
  startTokens?: number;
  /** Keep the lines of the earlier run. Without it a file that is there is removed. */
  append?: boolean;
  /** Milliseconds; for tests. */
  now?: () => number;
}

/** Peak memory of the accelerator, in bytes. */
export interface PeakMemory {
  allocated: number;
  reserved: number;
}

const GIB = 1024 ** 3;

/** The text of one line, without its newline. */
export function formatLogLine(line: LogLine): string {
  return pythonJson(line, { integers: INTEGER_KEYS });
}

/** The log of one run; its clock starts when it is made. Throws UserError where the disk refuses. */
export class TrainerLog {
  private readonly start: number;
  private readonly now: () => number;
  private closed = false;

  constructor(private readonly options: TrainerLogOptions) {
    this.now = options.now ?? Date.now;
    this.start = this.now();
    if (options.append) return;
    try {
      rmSync(options.file, { force: true });
    } catch (error) {
      throw writeError(options.file, error);
    }
  }

  /** Appends and returns the line for a log_history entry at `step`. `tokensSeen` is the state's
   * num_input_tokens_seen; 0 leaves throughput out, as in LLaMA-Factory. `peak` adds the vram_ keys. */
  write(entry: LogEntry, step: number, tokensSeen = 0, peak?: PeakMemory): LogLine {
    const line = this.line(entry, step, tokensSeen, peak);
    if (!this.closed) appendLine(this.options.file, formatLogLine(line));
    return line;
  }

  /** Lines are made as before, and no longer written. */
  close(): void {
    this.closed = true;
  }

  private line(entry: LogEntry, step: number, tokensSeen: number, peak: PeakMemory | undefined): LogLine {
    const { totalSteps, startStep = 0, startTokens = 0 } = this.options;
    const elapsed = Math.max(0, this.now() - this.start) / 1000;
    const done = step - startStep;
    const remaining = done > 0 ? (totalSteps - step) * (elapsed / done) : 0;
    const line: LogLine = {
      current_steps: step,
      total_steps: totalSteps,
      loss: entry.loss,
      eval_loss: entry.eval_loss,
      lr: entry.learning_rate,
      epoch: entry.epoch,
      percentage: totalSteps > 0 ? pythonRound((step / totalSteps) * 100, 2) : 100,
      elapsed_time: pythonTimedelta(elapsed),
      remaining_time: pythonTimedelta(remaining),
    };
    if (tokensSeen > 0) {
      line.throughput = elapsed > 0 ? pythonRound((tokensSeen - startTokens) / elapsed, 2) : 0;
      line.total_tokens = tokensSeen;
    }
    if (peak) {
      line.vram_allocated = pythonRound(peak.allocated / GIB, 2);
      line.vram_reserved = pythonRound(peak.reserved / GIB, 2);
    }
    // the event carries this object: keys without a value must be absent, as in the file
    return Object.fromEntries(
      Object.entries(line).filter(([, value]) => value !== undefined),
    ) as unknown as LogLine;
  }
}
