// `qwen-pt init [RECIPE]`: writes a commented recipe after four questions, or from options. What the answers become: see
// lib/init; here are the terminal and the files.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { loadRecipe } from "../../config/index.js";
import { messageOf, UserError } from "../../errors.js";
import { writeJson } from "../../files/json.js";
import { makeFolder } from "../../files/make-folder.js";
import { replaceFile } from "../../files/whole-file.js";
import {
  costOf,
  type DataPlan,
  foundData,
  type Machine,
  METHODS,
  type Method,
  memoryNeeded,
  parametersIn,
  planData,
  recipeText,
  savingFor,
  suggestMethod,
} from "../../init/index.js";
import { translated } from "../../languages/index.js";
import { readArguments, shellQuoted } from "../terminal/arguments.js";
import type { CommandMain, Host } from "../terminal/host.js";
import { programOf } from "../terminal/signals.js";

const DEFAULTS = { recipe: "recipe.yaml", model: "Qwen/Qwen3-0.6B", data: "data" };

interface Given {
  model?: string;
  data?: string;
  method?: Method;
  output?: string;
}

interface Answered extends Required<Given> {
  plan: DataPlan;
}

export const run: CommandMain = async (args, host) => {
  const found = readArguments("init", args);
  if (found.overrides[0] !== undefined)
    throw new UserError(`init: ${found.overrides[0]}: write keys into the recipe once it is there`);
  const file = found.recipe ?? DEFAULTS.recipe;
  refuseOverwrite(file, found.flags.has("force"));
  const given = checkedOptions(found.options);
  const column = found.options["column"];
  const machine = await thisMachine();
  const asks = Boolean(host.out.isTTY && host.input.isTTY) && !found.flags.has("yes");
  const answers = asks ? await ask(given, column, machine, host) : await decide(given, column, machine);
  if (answers === undefined) {
    host.err.write(`${translated("nothing was written", "init")}\n`);
    return 130;
  }
  write(file, answers, machine, host);
  return 0;
};

function refuseOverwrite(file: string, force: boolean): void {
  if (!/\.(?:ya?ml)$/i.test(file)) throw new UserError(`init: ${file}: a recipe's name ends in .yaml`);
  if (existsSync(file) && !force)
    throw new UserError(`init: ${file} exists: name another file, or overwrite it with --force`);
}

function checkedOptions(options: Record<string, string>): Given {
  const { model, data, method, output } = options;
  if (method !== undefined && !METHODS.includes(method as Method))
    throw new UserError(`init: --method ${method}: it is one of ${METHODS.join(", ")}`);
  return { model, data, method: method as Method | undefined, output };
}

async function thisMachine(): Promise<Machine> {
  const { trainingMachine } = await import("../../doctor/index.js");
  return trainingMachine();
}

const outputFor = (model: string, method: Method): string =>
  path.posix.join("saves", path.basename(model.replaceAll("\\", "/")) || "model", method, "pretrain");

/** Without a terminal: what the options say, and defaults for the rest; the data has none. */
async function decide(given: Given, column: string | undefined, machine: Machine): Promise<Answered> {
  const model = given.model ?? DEFAULTS.model;
  if (given.data === undefined && !existsSync(DEFAULTS.data))
    throw new UserError(
      "init: --data is missing: a .jsonl, .json, .txt, .csv or .parquet file, or a folder of them",
    );
  const data = given.data ?? DEFAULTS.data;
  const plan = await planData(data, column);
  const method = given.method ?? suggestMethod(parametersIn(model), machine).method;
  return { model, data, method, output: given.output ?? outputFor(model, method), plan };
}

/** The four questions; undefined where the user left. */
async function ask(
  given: Given,
  column: string | undefined,
  machine: Machine,
  host: Host,
): Promise<Answered | undefined> {
  const prompts = await import("@clack/prompts");
  const { intro, isCancel, log, select, text } = prompts;
  const streams = { input: host.input as never, output: host.out as never };
  intro(translated("A recipe for incremental pre-training of Qwen3", "init"), streams);
  /** What is proposed stands there in grey: Enter takes it, typing begins with nothing. */
  const line = async (message: string, proposed: string) => {
    const answer = await text({
      ...streams,
      message: translated(message, "init"),
      placeholder: proposed,
      defaultValue: proposed,
    });
    return isCancel(answer) ? undefined : answer.trim() || proposed;
  };
  const model = given.model ?? (await line("Which model? A folder, or a name on the hub", DEFAULTS.model));
  if (model === undefined) return undefined;
  let data = given.data;
  let plan = data === undefined ? undefined : await planData(data, column);
  while (plan === undefined) {
    data = await askData(prompts, streams);
    if (data === undefined) return undefined;
    try {
      plan = await planData(data, column);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      log.error(error.message, streams);
    }
  }
  const parameters = parametersIn(model);
  const options = METHODS.map((value) => ({
    value,
    label: value,
    hint: translated(costOf(value, parameters, machine), "init"),
  }));
  const { method: initialValue } = suggestMethod(parameters, machine);
  const chosen =
    given.method ??
    (await select({ ...streams, message: translated("Which method?", "init"), options, initialValue }));
  if (isCancel(chosen)) return undefined;
  const output = given.output ?? (await line("Where to write?", outputFor(model, chosen)));
  return output === undefined ? undefined : { model, data: data as string, method: chosen, output, plan };
}

/** One of the files that are there, or a path that is typed. */
async function askData(
  { isCancel, select, text }: typeof import("@clack/prompts"),
  streams: { input: never; output: never },
): Promise<string | undefined> {
  const message = translated("Which data? A .jsonl, .json, .txt, .csv or .parquet file, or a folder", "init");
  const found = foundData();
  if (found.length > 0) {
    const options = [...found, ""].map((value) => ({
      value,
      label: value || translated("another file or folder", "init"),
    }));
    const chosen = await select({ ...streams, message, options });
    if (isCancel(chosen)) return undefined;
    if (chosen !== "") return chosen;
  }
  const typed = await text({
    ...streams,
    message: found.length > 0 ? translated("Which file or folder?", "init") : message,
    placeholder: "essays.jsonl",
    validate: (value) =>
      (value ?? "").trim() === "" ? translated("an answer is needed", "init") : undefined,
  });
  return isCancel(typed) ? undefined : typed.trim();
}

/** The recipe is read as train would read it before anything is written. */
function checkText(text: string, env: NodeJS.ProcessEnv): void {
  const folder = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-init-"));
  try {
    const file = path.join(folder, "recipe.yaml");
    writeFileSync(file, text);
    loadRecipe(file, [], { env });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function write(file: string, answers: Answered, machine: Machine, host: Host): void {
  const { model, method, output, plan } = answers;
  const parameters = parametersIn(model);
  const saving = savingFor(method, parameters, machine);
  const english = recipeText(
    { model, method, saving, output, datasets: plan.names, datasetDir: plan.dir },
    machine,
  );
  const text = english.replace(/^# (.+)$/gm, (_, comment: string) => `# ${translated(comment, "init")}`);
  checkText(text, host.env);
  if (plan.info !== undefined) writeJson(path.join(plan.dir, "dataset_info.json"), plan.info);
  try {
    makeFolder(path.dirname(path.resolve(file)));
    replaceFile(file, text);
  } catch (error) {
    throw new UserError(`init: ${file} cannot be written (${messageOf(error)})`);
  }
  const fits = parameters === undefined || memoryNeeded(method, parameters, saving) <= machine.memory;
  const proposed = saving === "layer_offload" ? "layer_offload: disk" : "quantization_bit: 4";
  const lines = [
    `data: ${plan.found}`,
    ...(fits ? [] : [`warning: ${method} needs ${costOf(method, parameters, machine, saving)}`]),
    ...(saving === undefined
      ? []
      : [`${proposed} is in the recipe: ${costOf(method, parameters, machine, saving)}`]),
    `${file} is written. Now: ${programOf(host.env)} train ${shellQuoted(file)}`,
  ];
  host.out.write(`${translated(lines.join("\n"), "init")}\n`);
}
