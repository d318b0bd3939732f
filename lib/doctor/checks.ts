// What is wrong with an installation, from its facts: one finding a check, each with its remedy. Pure.
// The cards are judged in checks-gpu.ts, the machine around them in checks-machine.ts.
import { gpuChecks } from "./checks-gpu.js";
import { machineChecks } from "./checks-machine.js";
import type { Facts } from "./facts.js";
import { type Check, type Finding, ok, problem, type Rules, rebuild, warning } from "./finding.js";

const get = (what: string, { platform, packageTool }: Facts, { tools }: Rules): string =>
  tools.howToGet(what, platform, packageTool);

/** A missing tool stops a machine that has yet to build, and only waits on one whose addon works. */
const missing = (facts: Facts, check: string, text: string, remedy: string): Finding =>
  facts.addon.loaded
    ? warning(check, `${text} (not needed until the next build)`, remedy)
    : problem(check, text, remedy);

const node: Check = ({ node, arch }, { tools }) => {
  if (!tools.atLeast(node, "20.19"))
    return problem("Node", `${node} is too old`, "install 20.19 or newer (https://nodejs.org)");
  if (arch !== "x64" && arch !== "arm64")
    return problem(
      "Node",
      `${node} for ${arch}: libtorch is built for 64-bit processors`,
      "install 64-bit Node",
    );
  return ok("Node", `${node} (${arch})`);
};

const system: Check = (facts) => {
  if (facts.platform === "linux" && facts.glibc === undefined)
    return problem(
      "C library",
      "not glibc (Alpine's musl?): libtorch's wheels do not load",
      "use a Debian, Ubuntu or Fedora image",
    );
  return facts.platform === "linux" ? ok("C library", `glibc ${facts.glibc}`) : undefined;
};

const compiler: Check = (facts, rules) => {
  const found = facts.compiler;
  const how = get("compiler", facts, rules);
  if (found === undefined) return missing(facts, "Compiler", "no C++ compiler was found", how);
  const { kind, version } = found;
  const name = { gcc: "g++", clang: "clang++", msvc: "Visual Studio" }[kind];
  if (facts.platform === "linux" && kind === "clang")
    return missing(
      facts,
      "Compiler",
      `CXX is clang ${version}, whose OpenMP runtime is not libtorch's`,
      "export CXX=g++",
    );
  const least = { gcc: "11", clang: "13", msvc: "17" }[kind];
  if (!rules.tools.atLeast(version, least))
    return missing(
      facts,
      "Compiler",
      `${name} ${version} is too old for C++20: ${least} or newer is needed`,
      how,
    );
  if (found.cxx20 === false)
    return missing(
      facts,
      "Compiler",
      `${name} ${version} does not compile C++20 (are its headers installed?)`,
      how,
    );
  return ok("Compiler", `${name} ${version}${found.cxx20 ? ", compiles C++20" : ""}`);
};

const cmake: Check = (facts, rules) => {
  const how = get("cmake", facts, rules);
  if (facts.cmake === undefined) return missing(facts, "CMake", "not found", how);
  return rules.tools.atLeast(facts.cmake, "3.18")
    ? ok("CMake", facts.cmake)
    : missing(facts, "CMake", `${facts.cmake} is too old: 3.18 or newer is needed`, how);
};

const buildTool: Check = (facts, rules) => {
  if (facts.platform === "win32") return undefined; // MSBuild comes with the compiler
  return facts.buildTool === undefined
    ? missing(facts, "Make", "neither ninja nor make was found", get("make", facts, rules))
    : ok("Make", facts.buildTool);
};

/** Python only fetches libtorch. */
const python: Check = (facts, rules) => {
  const { python: found, libtorch } = facts;
  const say = libtorch === undefined ? problem : warning;
  const why = libtorch === undefined ? "" : " (only needed to fetch libtorch, which is here)";
  if (found === undefined) return say("Python", `not found${why}`, get("python", facts, rules));
  const { version, pip, venv } = found;
  if (!rules.tools.atLeast(version, "3.10"))
    return say("Python", `${version} is too old: 3.10 or newer is needed${why}`, get("python", facts, rules));
  if (!venv) return say("Python", `${version} without its venv module${why}`, get("venv", facts, rules));
  return ok("Python", `${version}${pip ? " with pip" : ""} and venv`);
};

const libtorch: Check = (facts, { tools }) => {
  const found = facts.libtorch;
  if (found === undefined)
    return problem("libtorch", "none was found", `${rebuild(facts)}, or LIBTORCH=/path`);
  const { version, cuda, cxx11 } = found;
  const name = `${version ?? "of unknown version"}${cuda ? `, CUDA ${cuda}` : ", CPU"}`;
  if (version === undefined || !tools.atLeast(version.split("+")[0] ?? "", "2.11"))
    return problem(
      "libtorch",
      `${name}: 2.11 or newer is needed`,
      `unset LIBTORCH and run ${rebuild(facts)}`,
    );
  if (facts.platform === "linux" && cxx11 === false)
    return problem(
      "libtorch",
      `${name} is built for the old C++ ABI, and the addon cannot be`,
      "take PyTorch 2.11 or newer from PyPI, which has the C++11 ABI",
    );
  const built = facts.addon.libtorch;
  if (built !== undefined && built !== version)
    return problem("libtorch", `${name}, but the addon was built against ${built}`, rebuild(facts));
  if (!version.startsWith("2.13."))
    return warning("libtorch", `${name}: tested with 2.13`, "nothing, unless results look wrong");
  return ok("libtorch", `${name}${cxx11 ? ", C++11 ABI" : ""}`);
};

const addon: Check = (facts) => {
  const { built, error, loaded } = facts.addon;
  if (!built) return problem("Addon", "has not been built", rebuild(facts));
  if (loaded === undefined) {
    const advice = `${rebuild(facts)}${facts.installed ? " --force" : " -- --force"}`;
    return problem("Addon", (error ?? "does not load").replace(/: run .*$/, ""), advice);
  }
  return ok("Addon", `loads, with libtorch ${loaded.libtorch} and kernels for ${loaded.cpuCapability}`);
};

const openmp: Check = ({ addon: { loaded }, env }) => {
  if (loaded === undefined || loaded.openmp.length === 0) return undefined;
  if (loaded.openmp.length === 1) return ok("OpenMP", `one runtime, ${loaded.openmp[0]}`);
  const preload = env["LD_PRELOAD"] ? "unset LD_PRELOAD" : "start without LD_LIBRARY_PATH";
  return problem(
    "OpenMP",
    `${loaded.openmp.length} runtimes are loaded (${loaded.openmp.join(", ")}), whose threads get in each other's way`,
    `${preload}; on Linux build with g++`,
  );
};

const checks: readonly Check[] = [
  node,
  system,
  compiler,
  cmake,
  buildTool,
  python,
  libtorch,
  addon,
  openmp,
  ...gpuChecks,
  ...machineChecks,
];

/** Everything that can be said of a machine, in the order in which it would be set up. */
export function diagnose(facts: Facts, rules: Rules): Finding[] {
  return checks.flatMap((check) => check(facts, rules) ?? []);
}
