// Several processes of one script over loopback, as torchrun would start them, and the bytes that they send. Linux.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";

/** Bytes that the loopback has sent so far; nothing else should talk over it meanwhile. */
export function loopbackBytes() {
  const line = readFileSync("/proc/net/dev", "utf8")
    .split("\n")
    .find((text) => text.trim().startsWith("lo:"));
  return Number(line.split(":")[1].trim().split(/\s+/)[8]);
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Runs a script with its arguments once for each rank; what rank 0 prints, as JSON. */
export async function runRanks(size, threads, args) {
  const port = await freePort();
  const out = await Promise.all(
    Array.from({ length: size }, (_, rank) => {
      const of =
        size === 1 ? {} : { RANK: rank, WORLD_SIZE: size, MASTER_ADDR: "127.0.0.1", MASTER_PORT: port };
      const env = { ...process.env, OMP_NUM_THREADS: threads, ...of };
      return new Promise((resolve) => {
        let text = "";
        const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "inherit"] });
        child.stdout.on("data", (more) => {
          text += more;
        });
        child.on("close", () => resolve(text));
      });
    }),
  );
  return JSON.parse(out[0]);
}
