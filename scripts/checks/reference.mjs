// The Python that tests compare with: .reference/, with transformers, PEFT and nbclient beside the torch that the addon
// was built against (seen through a .pth file, so that torch is not downloaded twice). Tests alone need it.
// `node scripts/checks/reference.mjs` makes it if it is missing and prints its Python; QWEN_PT_REFERENCE_PYTHON names another.
import { spawnSync } from "node:child_process";
import { realpathSync, writeFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { ensureLibtorch, projectRoot, torchVersion } from "../libtorch.mjs";
import {
  ensureEnvironment,
  makeEnvironment,
  pipInstall,
  pythonBeside,
  pythonOf,
  sitePackages,
} from "../pip.mjs";
import { findPython, runScript, SetupError } from "../tools.mjs";

const environment = path.join(projectRoot, ".reference");
// The oracle's versions: every number in the tests was made with these.
const packages = ["transformers==5.6.0", "peft==0.18.1", "safetensors", "numpy", "nbclient"];

async function make(root, python) {
  process.stderr.write(
    "qwen-pt: installing transformers, PEFT and nbclient into .reference/, for tests (about 30 MB)\n",
  );
  makeEnvironment(environment, python ? [python] : findPython());
  const wanted = [...packages];
  if (python)
    writeFileSync(path.join(sitePackages(environment), "torch-beside.pth"), `${path.dirname(root)}\n`);
  else wanted.push(`torch==${torchVersion}`);
  const problem = await pipInstall(environment, ["--no-compile", ...wanted]);
  if (problem !== "")
    throw new SetupError(`the tests' Python could not be installed into .reference/: ${problem}`);
  const check = spawnSync(
    pythonOf(environment),
    ["-c", "import torch, transformers, peft, safetensors, numpy"],
    { encoding: "utf8" },
  );
  if (check.status !== 0) {
    throw new SetupError(
      `the tests' Python does not import its packages: ${check.stderr.trim().split("\n").at(-1)}`,
    );
  }
}

/** The reference's Python, installed first where it is missing. */
export async function ensureReference(env = process.env) {
  if (env.QWEN_PT_REFERENCE_PYTHON) return env.QWEN_PT_REFERENCE_PYTHON;
  const { root, version } = await ensureLibtorch();
  const python = pythonBeside(root);
  const stamp = `${JSON.stringify({ packages, torch: python ? root : torchVersion, version })}\n`;
  return ensureEnvironment(environment, stamp, () => make(root, python));
}

if (process.argv[1] && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  await runScript(async () => process.stdout.write(`${await ensureReference()}\n`));
}
