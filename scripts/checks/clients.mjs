// `npm run test:clients`: what others wrote reads what we wrote. It makes .clients/, a Python with the trackers' packages,
// transformers, PEFT and bitsandbytes, and runs test/clients with it. Beside `npm test`, because it fetches some 800 MB and
// starts real servers.
import { spawnSync } from "node:child_process";
import path from "node:path";
import { projectRoot } from "../libtorch.mjs";
import { ensureEnvironment, makeEnvironment, pipInstall } from "../pip.mjs";
import { packageFolder, runScript, SetupError } from "../tools.mjs";

const environment = path.join(projectRoot, ".clients");
const packages = [
  "tensorboard==2.21.0",
  "wandb==0.31.0",
  "mlflow==3.17.2",
  "swanlab==0.10.3",
  "trackio==0.43.0",
  "torch==2.13.0",
  "transformers==5.6.0",
  "peft==0.18.1",
  "accelerate==1.15.0",
  "bitsandbytes==0.50.2",
];

async function make() {
  process.stderr.write("qwen-pt: installing the clients' Python packages into .clients/\n");
  makeEnvironment(environment);
  const problem = await pipInstall(environment, ["--no-compile", ...packages]);
  if (problem !== "") throw new SetupError(`the clients' packages could not be installed: ${problem}`);
}

await runScript(async () => {
  const python = await ensureEnvironment(environment, JSON.stringify(packages), make);
  const vitest = path.join(packageFolder("vitest"), "vitest.mjs");
  const config = path.join(projectRoot, "test", "clients", "vitest.config.ts");
  const { status } = spawnSync(
    process.execPath,
    [vitest, "run", "--config", config, ...process.argv.slice(2)],
    { cwd: projectRoot, stdio: "inherit", env: { ...process.env, QWEN_PT_PYTHON: python } },
  );
  process.exitCode = status ?? 1;
});
