// node cell.mjs RECIPE.json-text: runs one recipe and prints a line of JSON: median tokens/s without the first three steps,
// peak memory, losses.
import path from "node:path";

const { train } = await import(path.join(process.cwd(), "dist", "index.js"));
const steps = [];
await train(JSON.parse(process.argv[2]), { onStep: (step) => void steps.push(step) });
const kept = steps.slice(Math.min(3, steps.length - 1)).map(({ tokensPerSecond }) => tokensPerSecond);
const tokensPerSecond = kept.sort((a, b) => a - b)[kept.length >> 1];
const peakBytes = Math.max(...steps.map(({ memoryBytes }) => memoryBytes));
process.stdout.write(
  `${JSON.stringify({ tokensPerSecond, peakBytes, losses: steps.map(({ loss }) => loss) })}\n`,
);
