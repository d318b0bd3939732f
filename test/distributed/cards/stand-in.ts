// Compiles what stands in for NCCL (stand_in.cc), once for what it is made of, as native/distributed is compiled.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { addonRecord } from "../../../lib/torch/native.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** The library's file. */
export function standIn(): string {
  const source = path.join(root, "test/distributed/cards/stand_in.cc");
  const { libtorch, version } = addonRecord();
  const made = [source, path.join(root, "native/distributed/cards/interface.h")].map((file) =>
    readFileSync(file),
  );
  const hash = createHash("sha256").update(Buffer.concat(made)).update(`${version}`).digest("hex");
  const folder = path.join(root, "build", "stand-in");
  const file = path.join(folder, `backend-${hash.slice(0, 12)}.so`);
  if (existsSync(file)) return file;
  mkdirSync(folder, { recursive: true });
  const include = path.join(libtorch as string, "include");
  const own = ["native", "native/distributed", "native/distributed/fake"].flatMap((name) => [
    "-I",
    path.join(root, name),
  ]);
  const theirs = [include, path.join(include, "torch/csrc/api/include")].flatMap((name) => [
    "-isystem",
    name,
  ]);
  const defined = ["-DUSE_DISTRIBUTED", "-DUSE_C10D_GLOO", "-D_GLIBCXX_USE_CXX11_ABI=1"];
  const args = ["-std=c++20", "-O0", "-fPIC", "-shared", ...own, ...theirs, ...defined];
  const lib = path.join(libtorch as string, "lib");
  const linked = [`-L${lib}`, "-ltorch_cpu", "-lc10", `-Wl,-rpath,${lib}`, "-Wl,-z,defs"];
  const temporary = `${file}.${process.pid}`;
  const { status, stderr } = spawnSync("g++", [...args, "-o", temporary, source, ...linked], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`the stand-in does not compile: ${stderr}`);
  renameSync(temporary, file);
  return file;
}
