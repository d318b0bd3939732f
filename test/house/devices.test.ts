// Who may ask which device it is: lib/torch/device.ts, which gives the answers names, native/tensors/device.cc and placement.h, the
// library that moves tensors of one type of device between processes, and the lines of native/kernels that register an
// operator for a device.
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Lines of code below a folder, comments blanked: "lib/nn/linear.ts: if (device === ...". */
function linesOf(folder: string, ending: RegExp): string[] {
  return readdirSync(path.join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => ending.test(name))
    .flatMap((name) => {
      const text = readFileSync(path.join(root, folder, name), "utf8")
        .replace(/\/\*[\s\S]*?\*\//g, "")
        .replace(/(^|\s)\/\/.*$/gm, "$1");
      return text.split("\n").map((line) => `${folder}/${name.replaceAll("\\", "/")}: ${line.trim()}`);
    });
}

const compares =
  /[dD]evice\b[)\w]*\s*[!=]==?\s*["'`]|["'`](cpu|cuda|meta)\S*["'`]\s*[!=]==?|\/\^?\(?(cpu|cuda|meta)\b[^/]*\/\.test\(|(startsWith|includes|match|test)\(\s*\/?\^?["'`]?(cpu|cuda|meta)\b/;
const asks = /\bis_(cpu|cuda|meta)\(|\.is_meta\b|\b(type|device_type)\(\)\s*[!=]=|hasCUDA\(/;

describe("branches on the device", () => {
  it("in TypeScript are in lib/torch/device.ts", () => {
    const lines = linesOf("lib", /\.ts$/);
    expect(lines.length).toBeGreaterThan(10_000);
    expect(lines.filter((line) => compares.test(line) && !line.startsWith("lib/torch/device.ts:"))).toEqual(
      [],
    );
  });

  it("in C++ are in native/tensors/device.* and in registrations", () => {
    const lines = linesOf("native", /\.(cc|h)$/);
    expect(lines.length).toBeGreaterThan(3_000);
    expect(
      lines.filter(
        (line) =>
          asks.test(line) &&
          !/^native\/(tensors\/(device\.cc|placement\.h)|distributed\/cards\/library\.cc):/.test(line),
      ),
    ).toEqual([]);
    // a dispatch key belongs into a registration, or into the wrapper that one instantiates
    const keys = lines.filter((line) => /\b(CUDA|AutogradCUDA|AutocastCUDA|kCUDA)\b/.test(line));
    // libtorch's words for a card that fails, and the profiler's for what a device does
    const registers =
      /ActivityType::CUDA|TORCH_LIBRARY_IMPL|library\.impl\(|^native\/tensors\/device\.(cc|h):|"CUDA error: "/;
    expect(keys.filter((line) => !registers.test(line))).toEqual([]);
  });

  it("would be found", () => {
    for (const line of [
      'if (device === "meta") return;',
      'const where = x.device === "cpu" ? "" : x.device;',
      'if (model.device !== "cpu")',
      'if ("cuda" === kind)',
      'device.startsWith("cuda")',
      "/^cuda/.test(device)",
    ])
      expect([line, compares.test(line)]).toEqual([line, true]);
    for (const line of ["if (x.is_cuda())", "x.device().type() == at::kCUDA"])
      expect([line, asks.test(line)]).toEqual([line, true]);
  });
});
