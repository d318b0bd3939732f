// A thread that encodes batches of texts; EncoderThreads starts it.

import { parentPort, workerData } from "node:worker_threads";
import { type EncoderTables, PieceEncoder } from "./piece-encoder.js";

const encoder = new PieceEncoder(workerData as EncoderTables);
parentPort?.on("message", (texts: readonly string[]) => {
  const { ids, lengths } = encoder.encode(texts);
  parentPort?.postMessage({ ids, lengths }, [ids.buffer as ArrayBuffer, lengths.buffer as ArrayBuffer]);
});
