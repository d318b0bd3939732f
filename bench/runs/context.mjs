// Memory and speed against the length of the context, LoRA, bfloat16, selective checkpointing: the whole model at 1,024 to
// 8,192 tokens, a slice of two layers at 16,384 and 32,768.
//   node bench/runs/context.mjs [--quick]
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ensureReference } from "../../scripts/checks/reference.mjs";
import { child, ensureModel, gigabytes, root, table } from "../harness/subject.mjs";

/** @param {{folder: string, quick?: boolean}} options `quick`: up to 4,096 and 16,384 tokens */
export async function run({ folder, quick = false }) {
  const model = ensureModel(folder, await ensureReference());
  const lines = [];
  const measured = (tokens, layers) => {
    process.stderr.write(`context: ${tokens} tokens, ${layers ?? 28} layers\n`);
    const options = { model, tokens, layers, steps: tokens > 4096 ? 1 : 2, checkpointing: "selective" };
    const one = child("processor/micro.mjs", [JSON.stringify(options)]);
    lines.push({
      tokens,
      layers: layers ?? 28,
      tokensPerSecond: tokens / one.seconds,
      peakBytes: one.peakBytes,
    });
  };
  for (const tokens of quick ? [1024, 2048, 4096] : [1024, 2048, 4096, 8192]) measured(tokens);
  for (const tokens of quick ? [16384] : [16384, 32768]) measured(tokens, 2);
  const rows = lines.map(({ tokens, layers, tokensPerSecond, peakBytes }) => [
    tokens.toLocaleString("en-US"),
    layers,
    tokensPerSecond.toFixed(1),
    gigabytes(peakBytes),
  ]);
  table([["tokens", "layers", "tokens/s", "peak (resident)"], ...rows]);
  return { lines };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { quick: { type: "boolean", default: false } } });
  await run({ folder: `${root}/.bench`, quick: values.quick });
}
