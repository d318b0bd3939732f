// Types of fuzz.mjs, for the test.
export interface Options {
  count: number;
  seed: number;
  kinds?: string[];
  from?: number;
  onFault?: (fault: { index: number; kind: string; message: string }) => void;
  onBatch?: (next: number, counts: Counts) => void;
  onProgress?: (done: number, counts: Counts) => void;
}
export type Counts = Record<
  string,
  Record<"read" | "refused" | "crash" | "hang" | "memory" | "error", number>
>;
export function fuzz(options: Options): Promise<{ counts: Counts; faults: object[] }>;
