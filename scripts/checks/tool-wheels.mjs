// Tools that a check needs and nobody else, as wheels: fetched by pip into .tools/ on first use, so that `npm ci` does not wait
// for them and everybody has the same version.
import path from "node:path";
import { projectRoot } from "../libtorch.mjs";
import { ensureEnvironment, makeEnvironment, pipInstall, sitePackages } from "../pip.mjs";
import { SetupError } from "../tools.mjs";

/** The site-packages that hold this wheel (`name==version`), installed first where they do not. */
export async function ensureTool(name, wheel) {
  const environment = path.join(projectRoot, ".tools", name);
  await ensureEnvironment(environment, JSON.stringify(wheel), async () => {
    process.stderr.write(`qwen-pt: installing ${wheel} into .tools/, once\n`);
    makeEnvironment(environment);
    const problem = await pipInstall(environment, ["--only-binary=:all:", "--no-deps", wheel]);
    if (problem !== "")
      throw new SetupError(
        `${wheel} could not be installed into .tools/: ${problem}. Check pip's network or mirror.`,
      );
  });
  return sitePackages(environment);
}
