// How a download looks: a line that is redrawn on a terminal, lines now and then in a pipe.
import { describe, expect, it } from "vitest";
import { DownloadLine } from "../../../lib/cli/terminal/download-line.js";
import { Progress } from "../../../lib/cli/terminal/progress.js";
import type { HubEvent } from "../../../lib/hub/index.js";

function screen(isTTY: boolean, columns = 100) {
  const written: string[] = [];
  let time = 0;
  const out = { write: (text: string) => written.push(text), isTTY, columns };
  const progress = new Progress({ out, env: { NO_COLOR: "1" }, now: () => time });
  const line = new DownloadLine(progress, () => time);
  const pass = (milliseconds: number) => {
    time += milliseconds;
  };
  return { written, line, pass };
}

const at = (bytes: number, done = false): HubEvent => ({
  type: "download",
  repository: "Qwen/Qwen3-0.6B",
  bytes,
  totalBytes: 1_500_000_000,
  files: 8,
  filesDone: done ? 8 : 5,
  bytesPerSecond: 50e6,
  done,
});

describe("on a terminal", () => {
  it("is one line, wiped away at the end and for messages", () => {
    const { written, line } = screen(true);
    line.show(at(300e6));
    line.show({ type: "message", level: "info", text: "another process is fetching it; waiting" });
    line.show(at(1500e6, true));
    expect(written).toEqual([
      "\rQwen/Qwen3-0.6B: 300.0 MB of 1.50 GB (20%)  5/8 files  50.0 MB/s  left 0:24\u001b[K",
      "\r\u001b[K",
      "another process is fetching it; waiting\n",
      "\rQwen/Qwen3-0.6B: 300.0 MB of 1.50 GB (20%)  5/8 files  50.0 MB/s  left 0:24\u001b[K",
      "\r\u001b[K",
      "Qwen/Qwen3-0.6B: 1.50 GB fetched\n",
    ]);
  });

  it("fits a narrow one", () => {
    const { written, line } = screen(true, 30);
    line.show(at(300e6));
    expect(written[0]).toBe("\rQwen/Qwen3-0.6B: 300.0 MB of \u001b[K");
  });
});

describe("in a pipe", () => {
  it("is a line a quarter of a minute, and the end", () => {
    const { written, line, pass } = screen(false);
    for (let second = 0; second < 31; second++) {
      pass(1000);
      line.show(at(second * 50e6));
    }
    line.show(at(1500e6, true));
    expect(written).toEqual([
      "Qwen/Qwen3-0.6B: 700.0 MB of 1.50 GB (46%)  5/8 files  50.0 MB/s  left 0:16\n",
      "Qwen/Qwen3-0.6B: 1.45 GB of 1.50 GB (96%)  5/8 files  50.0 MB/s  left 0:01\n",
      "Qwen/Qwen3-0.6B: 1.50 GB fetched\n",
    ]);
  });

  it("warns in words", () => {
    const { written, line } = screen(false);
    line.show({ type: "message", level: "warning", text: "the files of the cache" });
    expect(written).toEqual(["warning: the files of the cache\n"]);
  });
});
