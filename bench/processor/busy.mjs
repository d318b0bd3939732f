// Speed while another program takes a core: threads that wait by spinning keep a core from those that work. Micro-steps of
// the benchmark's model on a machine left alone and beside a program that spins, with our default and with OpenMP's.
//   node bench/processor/busy.mjs [--quick] [--openmp-default NAME=VALUE]
// NAME=VALUE is what OpenMP does unless it is told otherwise: libgomp's own number of spins.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ensureReference } from "../../scripts/checks/reference.mjs";
import { child, ensureModel, median, root, table } from "../harness/subject.mjs";

const OPENMP_DEFAULT = "GOMP_SPINCOUNT=300000";
const TOKENS = 1024;

/** What another program does to the machine while `body` runs. */
function beside(spinning, body) {
  const other = spinning ? spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" }) : undefined;
  try {
    return body();
  } finally {
    other?.kill("SIGKILL");
  }
}

/**
 * The section `busy` of the bench.
 * @param {{folder: string, quick?: boolean, openmpDefault?: string}} options `quick`: one turn
 */
export async function run({ folder, quick = false, openmpDefault = OPENMP_DEFAULT }) {
  const model = ensureModel(folder, await ensureReference());
  const [name, value] = openmpDefault.split("=");
  // what the caller has set would decide for both
  const free = { OMP_WAIT_POLICY: undefined, GOMP_SPINCOUNT: undefined };
  const settings = { "qwen-pt's default": free, "OpenMP's default": { ...free, [name]: value } };
  const rates = {};
  for (let turn = 0; turn < (quick ? 1 : 3); turn++) {
    for (const state of ["quiet", "busy"]) {
      for (const [setting, env] of Object.entries(settings)) {
        process.stderr.write(`busy: ${state}, ${setting}, turn ${turn + 1}\n`);
        const args = [JSON.stringify({ model, tokens: TOKENS, steps: 2 })];
        const { seconds } = beside(state === "busy", () => child("processor/micro.mjs", args, env));
        rates[setting] ??= { quiet: [], busy: [] };
        rates[setting][state].push(TOKENS / seconds);
      }
    }
  }
  const lines = Object.entries(rates).map(([setting, { quiet, busy }]) => ({
    setting,
    quiet: median(quiet),
    busy: median(busy),
  }));
  const found = { lines, ratio: lines[0].busy / lines[1].busy };
  table([
    ["tokens/s, waiting by", "left alone", "one core taken"],
    ...lines.map((one) => [one.setting, one.quiet.toFixed(1), one.busy.toFixed(1)]),
  ]);
  console.log(`one core taken: ${found.ratio.toFixed(2)} times OpenMP's default`);
  return found;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      "openmp-default": { type: "string", default: OPENMP_DEFAULT },
    },
  });
  await run({
    folder: `${root}/.bench`,
    quick: values.quick,
    openmpDefault: values["openmp-default"],
  });
}
