// One line for each lever: tokens/s and peak memory of a micro-step of 1,024 tokens, LoRA, bfloat16, on the benchmark's
// model; each line adds one lever to those above it. Where the processor multiplies bfloat16, libtorch's products are
// the last to be replaced.
//   node bench/runs/ladder.mjs [--quick]
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ensureReference } from "../../scripts/checks/reference.mjs";
import { multipliesBf16, processorHere } from "../harness/processor.mjs";
import { child, ensureModel, gigabytes, root, table } from "../harness/subject.mjs";

const LEVERS = ["chunked loss", "norms", "swiglu", "lora node", "attention"];
const ADDED = {
  "chunked loss": "+ head and loss as one, gradients made in the forward pass",
  norms: "+ RMSNorm, and norm with RoPE",
  swiglu: "+ SwiGLU",
  "lora node": "+ LoRA layers as one node, q/k/v and gate/up together",
  attention: "+ causal attention",
};

/** @param {{folder: string, processor: string, quick?: boolean}} options `quick`: two micro-steps a line in place of three */
export async function run({ folder, processor, quick = false }) {
  const model = ensureModel(folder, await ensureReference());
  const lines = [];
  const measured = (name, options) => {
    process.stderr.write(`ladder: ${name}\n`);
    const one = child("processor/micro.mjs", [JSON.stringify({ model, steps: quick ? 2 : 3, ...options })]);
    lines.push({ name, tokensPerSecond: 1024 / one.seconds, peakBytes: one.peakBytes });
  };
  const packs = multipliesBf16(processor);
  if (packs) process.env.QWEN_PT_PRODUCTS = "native";
  measured("operators of ATen alone, keeping all", { without: LEVERS });
  for (const [at, lever] of LEVERS.entries()) measured(ADDED[lever], { without: LEVERS.slice(at + 1) });
  delete process.env.QWEN_PT_PRODUCTS;
  if (packs) measured("+ products of packed operands", {});
  measured("eight documents packed apart", { documents: 8 });
  measured("selective checkpointing", { checkpointing: "selective" });
  measured("checkpointing of whole layers", { checkpointing: true });
  const rows = lines.map(({ name, tokensPerSecond, peakBytes }) => [
    name,
    tokensPerSecond.toFixed(1),
    gigabytes(peakBytes),
  ]);
  table([["", "tokens/s", "peak (resident)"], ...rows]);
  return { lines };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
  await run({ folder: `${root}/.bench`, processor: await processorHere(), quick: values.quick });
}
