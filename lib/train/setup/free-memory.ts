// Memory that preparing a run has left behind, given back before the run begins: a tokenizer and the texts it was fed are
// a tenth of what training needs, and the collector, which sees little allocated from then on, might not run for hours.
import { setTimeout as after } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { emptyCache } from "../../torch/index.js";

/** Collects garbage, lets finalizers run, and returns freed memory to the system. */
export async function releaseMemory(): Promise<void> {
  setFlagsFromString("--expose-gc"); // what is called gc in contexts that are made meanwhile
  const collect = runInNewContext("gc") as () => void;
  setFlagsFromString("--no-expose-gc");
  collect();
  await after(0); // finalizers wait for the event loop
  emptyCache();
}
