// `qwen-pt doctor [--json]`: what is wrong with this installation, a line a check; `--gpu`: what this card makes of the
// package, as a report. The looking and the judging are lib/doctor's. Exits 1 where there is a problem.
import { writeFileSync } from "node:fs";
import path from "node:path";
import pc from "picocolors";
import { diagnose, type Facts, type Finding, probe, rulesOf, whyNoDevice } from "../../doctor/index.js";
import { messageOf, UserError } from "../../errors.js";
import { makeFolder } from "../../files/make-folder.js";
import { columnsOf, padded, translated } from "../../languages/index.js";
import { type Arguments, neededNothing, readArguments } from "../terminal/arguments.js";
import type { CommandMain, Host } from "../terminal/host.js";

const REPORT = "qwen-pt-gpu-report";

export const run: CommandMain = async (args, host) => {
  const found = neededNothing("doctor", readArguments("doctor", args));
  if (found.flags.has("gpu")) return examineGpu(found, host);
  const wrong = [...Object.keys(found.options), ...(found.flags.has("quick") ? ["quick"] : [])][0];
  if (wrong !== undefined) throw new UserError(`doctor: --${wrong} goes with --gpu`);
  const facts = await probe();
  const findings = diagnose(facts, await rulesOf());
  if (found.flags.has("json")) host.out.write(`${JSON.stringify({ findings, facts }, null, 2)}\n`);
  else host.out.write(`${lines(findings, host).join("\n")}\n`);
  return findings.some(({ state }) => state === "problem") ? 1 : 0;
};

function lines(findings: readonly Finding[], host: Host): string[] {
  const colors = pc.createColors(Boolean(host.out.isTTY) && !host.env["NO_COLOR"]);
  const paint = { ok: colors.green, warning: colors.yellow, problem: colors.red };
  const width = Math.max(...findings.map(({ check }) => columnsOf(translated(check, "doctor"))));
  const list = findings.map(({ check, state, text, remedy }) => {
    const advice = remedy === undefined ? "" : `: ${translated(remedy, "doctor")}`;
    const [name, said] = [padded(translated(check, "doctor"), width), padded(translated(state, "doctor"), 7)];
    return `${paint[state](said)}  ${name}  ${translated(text, "doctor")}${advice}`;
  });
  const count = (wanted: Finding["state"]) => findings.filter(({ state }) => state === wanted).length;
  const [problems, warnings] = [count("problem"), count("warning")];
  const plural = (value: number, noun: string) =>
    translated(`${value} ${noun}${value > 1 ? "s" : ""}`, "doctor");
  const said = problems > 0 ? plural(problems, "problem") : translated("no problem", "doctor");
  return [...list, warnings > 0 ? `${said}, ${plural(warnings, "warning")}` : said];
}

async function examineGpu({ options, flags }: Arguments, host: Host): Promise<number> {
  const { neededAddon } = await import("../../torch/native.js");
  neededAddon();
  const facts = await probe();
  const device = deviceOf(options["device"], facts, whyNoDevice(facts, await rulesOf()));
  const folder = path.resolve(options["output"] ?? ".");
  const files = ["md", "json"].map((ending) => path.join(folder, `${REPORT}.${ending}`)) as [string, string];
  makeReportFolder(folder);
  const { examine, reportMarkdown } = await import("../../doctor/index.js");
  const onStage = (stage: string) => void host.err.write(`${device}: ${stage}\n`);
  const report = await examine(facts, { device, quick: flags.has("quick"), onStage });
  writeFileSync(files[0], reportMarkdown(report));
  writeFileSync(files[1], `${JSON.stringify(report, null, 2)}\n`);
  if (flags.has("json")) host.out.write(`${JSON.stringify(report, null, 2)}\n`);
  else for (const line of verdict(report)) host.out.write(`${line}\n`);
  host.err.write(`report: ${files.join(" and ")} (no names of users, hosts or folders in it)\n`);
  return report.passed ? 0 : 1;
}

function deviceOf(wanted: string | undefined, { addon, libtorch }: Facts, why: string | undefined): string {
  if (addon.loaded === undefined)
    throw new UserError(`doctor --gpu: the addon does not load: ${addon.error}`);
  if (wanted !== undefined && !["cpu", "cuda", "cuda:0"].includes(wanted))
    throw new UserError(`doctor --gpu: --device ${wanted}: it is cpu or cuda:0, the card that training uses`);
  if (wanted === "cpu") return "cpu";
  if (why === undefined && libtorch !== undefined) return "cuda:0";
  throw new UserError(
    `doctor --gpu: no CUDA device is visible: ${why} (--device cpu tries the examination itself)`,
  );
}

function makeReportFolder(folder: string): void {
  try {
    makeFolder(folder);
  } catch (error) {
    throw new UserError(`doctor --gpu: --output ${folder} cannot be written (${messageOf(error)})`);
  }
}

type Report = Awaited<ReturnType<typeof import("../../doctor/index.js")["examine"]>>;

/** What failed, a line each, and the sum. */
function verdict({ parity, runs, timings, passed }: Report): string[] {
  const failed = [
    ...parity.map((one) => ({ ...one, what: `${one.name} (${one.dtype})`, value: one.distance })),
    ...runs.map((one) => ({ ...one, what: `training in ${one.precision}`, value: one.difference })),
    ...timings.map((one) => ({ ...one, what: one.name, value: undefined, passed: one.error === undefined })),
  ].filter((one) => !one.passed);
  const checks = parity.length + runs.length;
  return [
    ...failed.map(({ what, error, value }) => `no  ${what}: ${error ?? `off by ${value?.toExponential(1)}`}`),
    passed
      ? `${checks} checks agree, ${timings.length} operators timed`
      : `${failed.length} of ${checks} checks failed`,
  ];
}
