import os from "node:os";
import { defineConfig } from "vitest/config";

// The addon is loaded by every test file's own process. One OpenMP thread in each, and a process for each core:
// two teams that spin on the same cores are slower than one, and a test that needs threads asks for them.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/setup/global.ts"],
    pool: "forks",
    maxWorkers: Math.max(1, Math.min(4, os.availableParallelism())),
    env: {
      LC_ALL: "C.UTF-8",
      OMP_NUM_THREADS: "1",
      TOKENIZERS_PARALLELISM: "false",
      QWEN_PT_TOKEN_CACHE: "off",
    },
    // CI asks for the counts in a file, beside the usual output. Its machine is shared: what fails there is tried once
    // more, and named either way.
    retry: process.env.QWEN_PT_TALLY ? 1 : 0,
    reporters: process.env.QWEN_PT_TALLY ? ["default", "./scripts/checks/tally.mjs"] : ["default"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
