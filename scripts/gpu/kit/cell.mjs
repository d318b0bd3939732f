// node cell.mjs: runs recipes in one process, so that libtorch, the kernels and the model's file are opened once. Reads lines
// of JSON [name, recipe, environment], and answers each with one: median tokens/s without the first three steps, peak
// memory, losses, the seconds until the first step, or an error. With a fourth member, a file, one step is profiled into it.
import path from "node:path";
import { createInterface } from "node:readline";

const from = (name) => import(path.join(process.cwd(), "dist", name));
const { runRecipe } = await from("train/run.js");
const { resolveRecipe } = await from("config/index.js");
const { emptyCache } = await from("torch/index.js");
const { native } = await from("torch/native.js");

async function run(recipe, trace) {
  const steps = [];
  const notices = [];
  const started = performance.now();
  let first;
  await runRecipe(resolveRecipe(recipe), {
    onEvent(event) {
      if (event.type === "message" && event.level === "warning") notices.push(event.text);
      if (event.type !== "step") return;
      first ??= (performance.now() - started) / 1000;
      steps.push(event);
      if (trace === undefined) return;
      if (steps.length === recipe.max_steps - 1) native().startProfiler(!recipe.use_cpu);
      if (steps.length === recipe.max_steps) native().stopProfiler(trace);
    },
  });
  const kept = steps.slice(Math.min(3, steps.length - 1)).map(({ tokensPerSecond }) => tokensPerSecond);
  return {
    tokensPerSecond: kept.sort((a, b) => a - b)[kept.length >> 1],
    peakBytes: Math.max(...steps.map(({ memoryBytes }) => memoryBytes)),
    losses: steps.map(({ loss }) => loss),
    secondsToFirstStep: first,
    ...(notices.length > 0 && { notices }),
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const [recipe, env, trace] = JSON.parse(line);
  const before = Object.fromEntries(Object.keys(env).map((name) => [name, process.env[name]]));
  Object.assign(process.env, env);
  let answer;
  try {
    answer = await run(recipe, trace ?? undefined);
  } catch (error) {
    answer = {
      error: String(error?.message ?? error)
        .split("\n")[0]
        .slice(0, 300),
    };
  }
  for (const [name, value] of Object.entries(before))
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  globalThis.gc?.(); // what no scope has freed
  emptyCache();
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
