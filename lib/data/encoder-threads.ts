// Threads that encode: each takes the next batch when it has done its last, and answers in the order of its batches.

import { existsSync } from "node:fs";
import { Worker } from "node:worker_threads";
import type { Encoded, EncoderTables } from "./piece-encoder.js";

interface Thread {
  readonly worker: Worker;
  readonly waiting: { resolve(encoded: Encoded): void; reject(error: unknown): void }[];
}

/** Beside this file where it was compiled; the compiled one where this file runs from its source. */
function workerFile(): URL {
  const beside = new URL("./encoder-worker.js", import.meta.url);
  return existsSync(beside) ? beside : new URL(beside.href.replace("/lib/data/", "/dist/data/"));
}

export class EncoderThreads {
  readonly #threads: Thread[];

  constructor(tables: EncoderTables, count: number) {
    this.#threads = Array.from({ length: count }, () => startThread(tables));
  }

  encode(texts: readonly string[]): Promise<Encoded> {
    const thread = this.#threads.reduce((a, b) => (b.waiting.length < a.waiting.length ? b : a));
    return new Promise((resolve, reject) => {
      thread.waiting.push({ resolve, reject });
      // what is awaited keeps the process alive, an idle thread does not
      thread.worker.ref();
      thread.worker.postMessage(texts);
    });
  }

  async end(): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }
}

function startThread(tables: EncoderTables): Thread {
  const worker = new Worker(workerFile(), { workerData: tables });
  const waiting: Thread["waiting"] = [];
  const fail = (error: unknown): void => {
    for (const { reject } of waiting.splice(0)) reject(error);
  };
  worker.on("message", (encoded: Encoded) => {
    waiting.shift()?.resolve(encoded);
    if (waiting.length === 0) worker.unref();
  });
  worker.on("error", fail);
  worker.on("exit", (code) => fail(new Error(`a thread that tokenizes ended (exit code ${code})`)));
  worker.unref();
  return { worker, waiting };
}
