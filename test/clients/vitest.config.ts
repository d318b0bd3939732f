import path from "node:path";
import { defineConfig } from "vitest/config";

// Real clients and servers: `npm run test:clients` prepares them and says which Python has them.
export default defineConfig({
  test: {
    root: path.join(import.meta.dirname, "../.."),
    include: ["test/clients/*.client.ts", "test/docs/*.client.ts"],
    pool: "forks",
    maxWorkers: 1,
    env: { LC_ALL: "C.UTF-8", OMP_NUM_THREADS: "1", QWEN_PT_TOKEN_CACHE: "off" },
    testTimeout: 180_000,
    hookTimeout: 180_000,
  },
});
