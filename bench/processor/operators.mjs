// Microseconds per operator call, beside Python's torch: how much the binding adds to libtorch.
//
//   node bench/processor/operators.mjs [--rounds 7] [--json]
//
// Small tensors, so that the call and not the arithmetic is measured; one thread. Node and Python run in turns, each
// in a fresh process; the ratio is the median over rounds of the two neighbours' ratio. "grad" has inputs that require
// gradients, so every call records a node; "plain" has none. The Python is the tests' reference (.reference/, made if
// missing) or QWEN_PT_REFERENCE_PYTHON; the two libtorch versions are printed, and must be equal.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ensureReference } from "../../scripts/checks/reference.mjs";
import { median } from "../harness/subject.mjs";

/** Operators by name: the same in operators.py. x, y [8, 8]; w [8, 8]; v [8]; i [8] int64. */
const operators = {
  add: ({ x, y }) => x.add(y),
  "mul number": ({ x }) => x.mul(2.5),
  "sub alpha": ({ x, y }) => x.sub(y, { alpha: 2 }),
  silu: ({ x }) => x.silu(),
  matmul: ({ x, w }) => x.matmul(w),
  linear: ({ x, w, v }, { linear }) => linear(x, w, v),
  "sum dim": ({ x }) => x.sum(1),
  softmax: ({ x }) => x.softmax(-1),
  rms_norm: ({ x, v }, { rmsNorm }) => rmsNorm(x, [8], v, 1e-6),
  view: ({ x }) => x.view([4, 16]),
  transpose: ({ x }) => x.transpose(0, 1),
  select: ({ x }) => x.select(0, 3),
  cat: ({ x, y }, { cat }) => cat([x, y], 0),
  "to bfloat16": ({ x }) => x.to("bfloat16"),
  embedding: ({ w, i }, { embedding }) => embedding(w, i),
  add_: ({ z, y }) => z.add_(y),
};

const CALLS = 200; // a scope: what a block of a model makes
const BATCHES = 60;

async function measure() {
  const torch = await import("../../dist/torch/index.js");
  torch.setNumThreads(1);
  const result = { version: torch.buildInfo().builtWith, times: {} };
  for (const mode of ["grad", "plain"]) {
    const requiresGrad = mode === "grad";
    const make = (...shape) => torch.randn(shape, { requiresGrad });
    const inputs = {
      x: make(8, 8),
      y: make(8, 8),
      w: make(8, 8),
      v: make(8),
      z: torch.randn([8, 8]),
      i: torch.arange(8),
    };
    for (const [name, operator] of Object.entries(operators)) {
      if (requiresGrad && name.endsWith("_")) continue;
      const batch = () => {
        for (let call = 0; call < CALLS; call++) operator(inputs, torch);
      };
      // The scope's end frees what the calls made; Python frees at each call. Both are in the time.
      const timed = () => {
        const start = process.hrtime.bigint();
        torch.scope(batch);
        return Number(process.hrtime.bigint() - start) / CALLS / 1000;
      };
      for (let warm = 0; warm < 20; warm++) timed();
      result.times[`${name} ${mode}`] = median(Array.from({ length: BATCHES }, timed));
    }
  }
  process.stdout.write(JSON.stringify(result));
}

function child(command, args) {
  const env = { ...process.env, OMP_NUM_THREADS: "1", MKL_NUM_THREADS: "1" };
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", env, maxBuffer: 1 << 26 });
  if (status !== 0) throw new Error(`${command} failed:\n${stderr}`);
  return JSON.parse(stdout);
}

function table(rounds) {
  const names = Object.keys(rounds[0].node.times);
  const rows = names.map((name) => {
    const node = rounds.map((round) => round.node.times[name]);
    const python = rounds.map((round) => round.python.times[name]);
    return {
      name,
      node: median(node),
      python: median(python),
      ratio: median(node.map((time, index) => time / python[index])),
    };
  });
  const of = (mode) => median(rows.filter(({ name }) => name.endsWith(mode)).map(({ ratio }) => ratio));
  return { count: rows.length, rows, grad: of("grad"), plain: of("plain") };
}

async function compare(count) {
  const python = await ensureReference();
  const rounds = [];
  for (let round = 0; round < count; round++) {
    rounds.push({
      node: child(process.execPath, [fileURLToPath(import.meta.url), "--measure"]),
      python: child(python, [fileURLToPath(new URL("../programs/operators.py", import.meta.url))]),
    });
  }
  const [{ node, python: reference }] = rounds;
  return { libtorch: node.version, python: reference.version, rounds: rounds.length, ...table(rounds) };
}

function print(result) {
  console.log(
    `libtorch ${result.libtorch}, Python's torch ${result.python}, ${result.rounds} rounds, 1 thread`,
  );
  console.log(
    `${"operator".padEnd(22)}${"qwen-pt us".padStart(12)}${"Python us".padStart(12)}${"ratio".padStart(8)}`,
  );
  for (const { name, node, python, ratio } of result.rows) {
    const columns = [
      node.toFixed(2).padStart(12),
      python.toFixed(2).padStart(12),
      ratio.toFixed(2).padStart(8),
    ];
    console.log(name.padEnd(22) + columns.join(""));
  }
  console.log(`median ratio: ${result.grad.toFixed(2)} with gradients, ${result.plain.toFixed(2)} without`);
}

/** The section `operators` of the bench. */
export async function run({ quick = false }) {
  const result = await compare(quick ? 3 : 7);
  print(result);
  return result;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      measure: { type: "boolean" },
      rounds: { type: "string", default: "7" },
      json: { type: "boolean" },
    },
  });
  if (values.measure) await measure();
  else {
    const result = await compare(Number(values.rounds));
    if (values.json) console.log(JSON.stringify(result, null, 2));
    else print(result);
  }
}
