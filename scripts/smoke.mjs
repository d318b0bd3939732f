// Loads one build of the addon, and those beside it, in a separate process and asks them what they
// are: `node scripts/smoke.mjs FILE`.
// CI runs it on what node-gyp built; the tests use the build of cmake-js.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { distributedAddonBeside, textAddonBeside } from "./addon.mjs";

const file = path.resolve(process.argv[2] ?? "build/Release/qwen_pt.node");
const load = createRequire(import.meta.url);
const addon = load(file);
if (typeof load(textAddonBeside(file)).makeEncoder !== "function")
  throw new Error(`${textAddonBeside(file)}: does not tokenize`);
const distributed = distributedAddonBeside(file);
if (existsSync(distributed) && load(distributed).layoutFault() !== "")
  throw new Error(`${distributed}: ${load(distributed).layoutFault()}`);
const operators = addon.operators().length;
const own = addon.resolve("aten::mm");
if (operators < 2000 || own.name !== "aten::mm")
  throw new Error(`${file}: ${operators} operators: libtorch's are missing`);
process.stdout.write(
  `${path.relative(process.cwd(), file)}: ${operators} operators, libtorch ${addon.buildInfo().builtWith}\n`,
);
