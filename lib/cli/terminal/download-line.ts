// How far a download is: one line that is redrawn on a terminal, a plain line now and then in a pipe.
import type { HubEvent } from "../../hub/index.js";
import { duration } from "../../words.js";
import type { Progress } from "./progress.js";

/** In a pipe, the time between two lines. */
const SILENCE_MS = 15_000;

export class DownloadLine {
  #last: number;

  constructor(
    readonly progress: Progress,
    readonly now: () => number = Date.now,
  ) {
    this.#last = now();
  }

  show(event: HubEvent): void {
    if (event.type === "message") {
      const { colors } = this.progress;
      const text = event.level === "warning" ? colors.yellow(`warning: ${event.text}`) : event.text;
      this.progress.print(text);
      return;
    }
    if (event.done) {
      this.stop();
      this.progress.print(`${event.repository}: ${size(event.bytes)} fetched`);
      return;
    }
    const line = lineOf(event);
    if (this.progress.live) this.progress.status(line);
    else if (this.now() - this.#last >= SILENCE_MS) {
      this.#last = this.now();
      this.progress.print(line);
    }
  }

  stop(): void {
    this.progress.status(undefined);
  }
}

function lineOf(event: Extract<HubEvent, { type: "download" }>): string {
  const { repository, bytes, totalBytes, bytesPerSecond } = event;
  const share = totalBytes > 0 ? Math.floor((100 * bytes) / totalBytes) : 100;
  const parts = [`${repository}: ${size(bytes)} of ${size(totalBytes)} (${share}%)`];
  parts.push(`${event.filesDone}/${event.files} files`);
  if (bytesPerSecond > 0) {
    parts.push(`${size(bytesPerSecond)}/s`);
    parts.push(`left ${duration((totalBytes - bytes) / bytesPerSecond)}`);
  }
  return parts.join("  ");
}

function size(bytes: number): string {
  if (bytes < 1e6) return `${Math.ceil(bytes / 1e3)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}
