// `qwen-pt doctor [--json]`: what is wrong with this installation, a line a check. The looking and the judging are
// lib/doctor's. Exits 1 where there is a problem; warnings are not one.
import pc from "picocolors";
import { diagnose, type Finding, probe, rulesOf } from "../doctor/index.js";
import { neededNothing, readArguments } from "./arguments.js";
import type { Run } from "./commands.js";
import type { Host } from "./host.js";

export const run: Run = async (args, host) => {
  const { flags } = neededNothing("doctor", readArguments("doctor", args, [], ["json"]));
  const facts = await probe();
  const findings = diagnose(facts, await rulesOf());
  if (flags.has("json")) host.out.write(`${JSON.stringify({ findings, facts }, null, 2)}\n`);
  else host.out.write(`${lines(findings, host).join("\n")}\n`);
  return findings.some(({ state }) => state === "problem") ? 1 : 0;
};

function lines(findings: readonly Finding[], host: Host): string[] {
  const colors = pc.createColors(Boolean(host.out.isTTY) && !host.env["NO_COLOR"]);
  const paint = { ok: colors.green, warning: colors.yellow, problem: colors.red };
  const width = Math.max(...findings.map(({ check }) => check.length));
  const list = findings.map(({ check, state, text, remedy }) => {
    const advice = remedy === undefined ? "" : `: ${remedy}`;
    return `${paint[state](state.padEnd(7))}  ${check.padEnd(width)}  ${text}${advice}`;
  });
  const count = (wanted: Finding["state"]) => findings.filter(({ state }) => state === wanted).length;
  const [problems, warnings] = [count("problem"), count("warning")];
  const said = problems > 0 ? `${problems} problem${problems > 1 ? "s" : ""}` : "no problem";
  return [...list, `${said}${warnings > 0 ? `, ${warnings} warning${warnings > 1 ? "s" : ""}` : ""}`];
}
