// Loads one build of the addon in a process of its own and asks it what it is: `node scripts/smoke.mjs FILE`.
// CI runs it on what node-gyp built; the tests use the build of cmake-js.
import { createRequire } from "node:module";
import path from "node:path";

const file = path.resolve(process.argv[2] ?? "build/Release/qwen_pt.node");
const addon = createRequire(import.meta.url)(file);
const operators = addon.operators().length;
const own = addon.resolve("aten::mm");
if (operators < 2000 || own.name !== "aten::mm")
  throw new Error(`${file}: ${operators} operators: libtorch's are missing`);
process.stdout.write(
  `${path.relative(process.cwd(), file)}: ${operators} operators, libtorch ${addon.buildInfo().builtWith}\n`,
);
