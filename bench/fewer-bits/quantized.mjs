// Fewer bits beside 16-bit LoRA: the tutorial's recipe on the 0.6B shape with the base in bfloat16, in NF4, in FP4, in 8 bits
// and multiplied in 8-bit integers, beside LLaMA-Factory's and Unsloth's QLoRA, in turn, on one machine: tokens/s, peak memory of the process, seconds around the steps
// (loading and quantizing among them), losses; then how fast each is quantized on load, in GB/s of the 16-bit file.
//   node bench/fewer-bits/quantized.mjs [--quick] [--only WORD] [--model FOLDER] [--again]
// A bench that was interrupted goes on: a turn that is finished is not run again, unless --again says so.
// --only measures the rows whose names contain a word, beside 16-bit LoRA.
// --model measures NF4 alone on another model's folder: bench/fewer-bits/make_shapes.mjs writes larger ones.
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ensureReference } from "../../scripts/checks/reference.mjs";
import { ensureBitsandbytes, ensureLlamaFactory } from "../environments/llamafactory.mjs";
import { ensureUnsloth } from "../environments/unsloth.mjs";
import { tokensOf } from "../harness/contestants.mjs";
import { Rows } from "../harness/rows.mjs";
import { child, ensureModel, gigabytes, median, root, table } from "../harness/subject.mjs";
import { trainOnce } from "../harness/trainings.mjs";

const NF4 = { quantization_bit: 4, upcast_layernorm: true };
const BASES = {
  "bfloat16, 16-bit LoRA": {},
  "NF4, double quantization": NF4,
  "FP4, single": { ...NF4, quantization_type: "fp4", double_quantization: false },
  "8 bits (LLM.int8)": { quantization_bit: 8, upcast_layernorm: true },
  "int8 products": { quantization_compute: "int8" },
};

/** The peers' QLoRA, with bitsandbytes' products; Unsloth decides by itself how much it computes again. */
const PEERS = {
  "LLaMA-Factory, NF4": { program: "llamafactory", keys: { quantization_bit: 4 } },
  "Unsloth, NF4": { program: "unsloth", keys: { quantization_bit: 4, unsloth_checkpointing: "unsloth" } },
};

/** Where the peers are installed that are measured. */
async function programsOf(folder, contestants) {
  const isNeeded = (program) => contestants.some((contestant) => contestant.program === program);
  const programs = {};
  if (isNeeded("llamafactory")) {
    programs.llamafactory = ensureLlamaFactory(folder);
    ensureBitsandbytes(programs.llamafactory);
  }
  if (isNeeded("unsloth")) {
    programs.unsloth = await ensureUnsloth(folder);
    const { refused } = programs.unsloth;
    if (refused !== undefined) throw new Error(`Unsloth: ${refused}`);
  }
  return programs;
}

async function trainSteps(name, steps, { keys, program }, places) {
  const all = { max_steps: steps, ...keys };
  const run = await trainOnce({ ...places, name: `quantized ${name}`, program, keys: all });
  if (run.status !== 0) throw new Error(`${name} failed: see ${run.log}`);
  const { peakBytes, aroundSeconds, losses, stepSeconds } = run;
  return { tokensPerSecond: tokensOf({ keys: all }, steps) / stepSeconds, peakBytes, aroundSeconds, losses };
}

/**
 * @param {{folder: string, quick?: boolean, only?: string, model?: string, again?: boolean}} options `quick`: one turn of
 *   one step
 */
export async function run({ folder, quick = false, only = "", model: given, again = false }) {
  mkdirSync(folder, { recursive: true });
  const rows = new Rows(folder, "quantized", { quick, given });
  if (again) rows.clear();
  const model = given ?? ensureModel(folder, await ensureReference());
  const own = Object.fromEntries(
    Object.entries(BASES).map(([name, keys]) => [name, { program: "qwen-pt", keys }]),
  );
  const contestants = { ...own, ...PEERS };
  const all = Object.keys(contestants);
  const names =
    given === undefined
      ? all.filter((name, i) => i === 0 || name.includes(only))
      : ["NF4, double quantization"];
  const programs = await programsOf(
    folder,
    names.map((name) => contestants[name]),
  );
  const places = { folder, model, programs };
  const turns = quick ? 1 : 3;
  const runs = Object.fromEntries(names.map((name) => [name, []]));
  for (let turn = 0; turn < turns; turn++) {
    for (const name of names) {
      const measureTurn = () => {
        process.stderr.write(`quantized: ${name}, turn ${turn + 1} of ${turns}\n`);
        return trainSteps(name, quick ? 1 : 3, contestants[name], places);
      };
      runs[name].push(await rows.row(`${name}, turn ${turn}`, measureTurn));
    }
  }
  const found = {};
  for (const [name, all] of Object.entries(runs)) {
    const middle = (field) => median(all.map((one) => one[field]));
    found[name] = {
      tokensPerSecond: middle("tokensPerSecond"),
      peakBytes: middle("peakBytes"),
      aroundSeconds: middle("aroundSeconds"),
      losses: all[0].losses,
    };
  }
  const base = found[names[0]];
  const lines = Object.entries(found).map(([name, one]) => [
    name,
    one.tokensPerSecond.toFixed(1),
    (one.tokensPerSecond / base.tokensPerSecond).toFixed(3),
    gigabytes(one.peakBytes),
    one.aroundSeconds.toFixed(1),
    one.losses.map((loss) => loss.toFixed(3)).join(" "),
  ]);
  table([["base", "tokens/s", "ratio", "peak", "s around the steps", "losses"], ...lines]);
  const loads = await rows.row("loading", () => loading(model));
  rows.clear();
  printLoads(loads);
  return { runs: found, loads };
}

/** Seconds of loading a model and bytes of its file, by what its layers are kept in. */
function loading(model) {
  const found = {};
  for (const type of [null, "nf4", "fp4", "int8", "int8 products"]) {
    const once = () => child("programs/load_quantized.mjs", [JSON.stringify({ model, type })]);
    const turns = [once(), once(), once()];
    const seconds = median(turns.map((one) => one.seconds));
    found[type ?? "bfloat16"] = { seconds, bytes: turns[0].bytes };
  }
  return found;
}

function printLoads(found) {
  const lines = Object.entries(found).map(([type, { seconds, bytes }]) => [
    type,
    seconds.toFixed(2),
    (bytes / seconds / 1e9).toFixed(2),
  ]);
  table([["on load", "s", "GB/s"], ...lines]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      model: { type: "string" },
      again: { type: "boolean", default: false },
    },
  });
  await run({ folder: `${root}/.bench`, ...values });
}
