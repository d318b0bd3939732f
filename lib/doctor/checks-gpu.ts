// NVIDIA's card, its driver and the libtorch that is to use it: do they fit? Pure. A machine without a card is in
// order; a card that stays idle is said.

import type { Facts } from "./facts.js";
import { type Check, type Finding, ok, problem, type Rules, rebuild, warning } from "./finding.js";

/** How to get the build that this machine's cards can run. */
function anotherBuild(facts: Facts, { cuda }: Rules): string | undefined {
  const { build } = cuda.chooseBuild(facts.gpu.cards, facts.platform);
  if (build === "cpu" || `cu${facts.libtorch?.cuda?.replace(".", "")}` === build) return undefined;
  return facts.installed
    ? `npx qwen-pt setup --build ${build}`
    : `remove .libtorch and run ${rebuild(facts)}`;
}

const card: Check = (facts, rules) => {
  const { cards, problem: said, onBus } = facts.gpu;
  const isCudaBuild = facts.libtorch?.cuda !== undefined;
  if (cards.length > 0) {
    const names = cards.map(({ name, capability, memoryMiB }) => {
      const size = memoryMiB > 0 ? `, ${Math.round(memoryMiB / 1024)} GiB` : "";
      return `${name} (${capability ?? "capability unknown"}${size})`;
    });
    const idle = cards.length > 1 ? "; training uses the first" : "";
    if (isCudaBuild || facts.libtorch === undefined) return ok("GPU", `${names.join(", ")}${idle}`);
    const how = anotherBuild(facts, rules) ?? "update the NVIDIA driver";
    return warning("GPU", `${names.join(", ")} is not used: this libtorch is a CPU build`, how);
  }
  if (said !== undefined) {
    const advice = "reinstall the NVIDIA driver, or reboot after an update of it";
    return (isCudaBuild ? problem : warning)("GPU", `nvidia-smi lists no card: ${said}`, advice);
  }
  if (onBus) {
    const advice = facts.container ? "start the container with --gpus all" : "install NVIDIA's driver";
    return warning("GPU", "there is an NVIDIA card but no driver", advice);
  }
  return ok("GPU", "none: training runs on the processor");
};

const driver: Check = (facts, rules) => {
  const [first] = facts.gpu.cards;
  const cuda = facts.libtorch?.cuda;
  if (first === undefined || cuda === undefined) return undefined;
  const least = rules.cuda.minimumDriver(cuda, facts.platform);
  if (least === undefined) return ok("NVIDIA driver", `${first.driver} (CUDA ${cuda}: not in the table)`);
  if (rules.tools.atLeast(first.driver, least))
    return ok("NVIDIA driver", `${first.driver}; CUDA ${cuda} needs ${least}`);
  const other = anotherBuild(facts, rules);
  return problem(
    "NVIDIA driver",
    `${first.driver} is too old for libtorch's CUDA ${cuda}, which needs ${least}`,
    `update the driver${other ? `, or ${other}` : ""}`,
  );
};

/** The code that libtorch says it has, else what its build is known to have. */
function codeOf(facts: Facts, { cuda }: Rules) {
  const told = facts.addon.loaded?.capabilities;
  const known = cuda.builds[`cu${facts.libtorch?.cuda?.replace(".", "")}`];
  if (told !== undefined && told.length > 0) return { capabilities: told, ptx: known?.ptx ?? false };
  return known;
}

const capability: Check = (facts, rules) => {
  const build = facts.libtorch?.cuda === undefined ? undefined : codeOf(facts, rules);
  const known = facts.gpu.cards.filter((one) => one.capability !== undefined);
  if (build === undefined || known.length === 0) return undefined;
  const without = known.find((one) => !rules.cuda.hasCodeFor(build, one.capability as string));
  const list = build.capabilities.join(", ");
  if (without === undefined) return ok("GPU code", `libtorch has code for ${known[0]?.capability} (${list})`);
  return problem(
    "GPU code",
    `libtorch has no code for ${without.name} (${without.capability}; it has ${list})`,
    anotherBuild(facts, rules) ?? "train with use_cpu: true",
  );
};

const visible: Check = (facts): Finding | undefined => {
  const { loaded } = facts.addon;
  if (loaded?.acceleratorError !== undefined) {
    const how = `install NVIDIA's libraries of this libtorch again (${rebuild(facts)} shows where it is), or train with use_cpu: true`;
    return problem("CUDA", `libtorch's CUDA half does not load: ${loaded.acceleratorError}`, how);
  }
  if (loaded === undefined || facts.libtorch?.cuda === undefined || facts.gpu.cards.length === 0)
    return undefined;
  if (loaded.devices > 0)
    return ok("CUDA", `libtorch sees ${loaded.devices} device${loaded.devices > 1 ? "s" : ""}`);
  const hidden = facts.env["CUDA_VISIBLE_DEVICES"];
  if (hidden !== undefined)
    return problem("CUDA", `libtorch sees no device: CUDA_VISIBLE_DEVICES is "${hidden}"`, "unset it");
  return problem(
    "CUDA",
    "libtorch sees no device, though nvidia-smi does",
    facts.container
      ? "start the container with --gpus all and NVIDIA_DRIVER_CAPABILITIES=compute,utility"
      : "mend what is wrong with the driver above; else reinstall it",
  );
};

/** Why no CUDA device can be used, in one line, or undefined where one can. */
export function whyNoDevice(facts: Facts, rules: Rules): string | undefined {
  if ((facts.addon.loaded?.devices ?? 0) > 0) return undefined;
  const findings = gpuChecks.flatMap((check) => check(facts, rules) ?? []);
  const worst =
    findings.find(({ state }) => state === "problem") ?? findings.find(({ state }) => state === "warning");
  if (worst) return `${worst.text}: ${worst.remedy}`;
  return facts.gpu.cards.length === 0 ? "this machine has no NVIDIA card" : "libtorch has not been set up";
}

export const gpuChecks: readonly Check[] = [card, driver, capability, visible];
