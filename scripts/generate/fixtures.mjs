// Regenerates the fixtures that the tests compare with, by the programs that they come from: installs LLaMA-Factory
// 0.9.5 and its torch, transformers and PEFT in a separate environment (.bench/, about 3 GB; LLAMAFACTORY_ENV names
// one that is there), then runs the makers. Not part of a build or a test: what they make is checked in.
//   npm run fixtures                                        all of them (an hour)
//   npm run fixtures -- test/fixtures/train/methods.py lora  one maker, with its own arguments
import { spawnSync } from "node:child_process";
import path from "node:path";
import { ensureLlamaFactory } from "../../bench/environments/llamafactory.mjs";
import { projectRoot } from "../libtorch.mjs";

const MAKERS = [
  "test/fixtures/config/write_arguments.py",
  "test/fixtures/data/make_blocks.py",
  "test/fixtures/data/make_corpora.py",
  "test/fixtures/data/make_formats.py",
  "test/fixtures/data/make_mixed.py",
  "test/fixtures/data/make_streams.py",
  "test/fixtures/model/make.py",
  "test/fixtures/output/make.py",
  "test/fixtures/train/make.py",
  "test/fixtures/train/methods.py",
  "test/fixtures/train/mixtures.py",
  "test/fixtures/train/ranks.py",
];

const [maker, ...args] = process.argv.slice(2);
const { python } = ensureLlamaFactory(path.join(projectRoot, ".bench"));
for (const script of maker === undefined ? MAKERS : [maker]) {
  console.log(`$ python ${[script, ...args].join(" ")}`);
  const { status } = spawnSync(python, [script, ...args], {
    cwd: projectRoot,
    stdio: "inherit",
    env: { ...process.env, OMP_NUM_THREADS: "1", HF_HUB_OFFLINE: "1" },
  });
  if (status !== 0) process.exit(status ?? 1);
}
