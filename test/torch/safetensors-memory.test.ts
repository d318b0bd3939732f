// That tensors of a file are the file's own pages: nothing is copied, nothing is held twice, nothing reaches the file;
// and that no bytes, however wrong, end the process.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { constants, type PerformanceEntry, PerformanceObserver } from "node:perf_hooks";
import { afterAll, describe, expect, it } from "vitest";
import { UserError } from "../../lib/errors.js";
import { liveTensors, scope } from "../../lib/torch/lifetime/scope.js";
import { loadSafetensors, SafetensorsFile, saveSafetensors } from "../../lib/torch/safetensors.js";
import { tensor } from "../../lib/torch/tensor.js";
import { collect } from "../fixtures/collect.js";
import { entry, fileBytes, seededRandom, temporaryFolder } from "./safetensors-bytes.js";

const folder = temporaryFolder();
afterAll(() => fs.rmSync(folder, { recursive: true }));
const at = (name: string): string => path.join(folder, name);
const MB = 2 ** 20;

/** Two float32 tensors, `a` and `b`, of `bytes` each, in a sparse file. The header's length is `8 * k + skew`. */
function sparseFile(name: string, bytes: number, skew = 0): string {
  const header = `{${entry("a", "F32", `${bytes / 4}`, `0,${bytes}`)},${entry("b", "F32", `${bytes / 4}`, `${bytes},${2 * bytes}`)}}`;
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8 + skew);
  fs.writeFileSync(at(name), fileBytes(padded));
  fs.truncateSync(at(name), 8 + padded.length + 2 * bytes);
  return at(name);
}

describe("mapped tensors", () => {
  it("lie in one mapping, as far apart as in the file", () => {
    const tensors = loadSafetensors(sparseFile("apart", 4096));
    const [a, b] = [tensors.get("a"), tensors.get("b")];
    expect((b?.dataPointer ?? 0n) - (a?.dataPointer ?? 0n)).toBe(4096n);
  });

  it("take no memory until they are touched", () => {
    const file = sparseFile("large", 100 * MB);
    loadSafetensors(sparseFile("warm-up", 4096));
    const before = process.memoryUsage();
    const tensors = loadSafetensors(file);
    const after = process.memoryUsage();
    expect(tensors.get("b")?.shape).toEqual([25 * MB]);
    expect(after.rss - before.rss).toBeLessThan(20 * MB);
    expect(tensors.get("a")?.slice(0, 0, 3).tolist()).toEqual([0, 0, 0]);
    for (const mapped of tensors.values()) mapped.dispose();
  });

  it("do not drive the collector: it is told of none of their bytes", async () => {
    const file = SafetensorsFile.open(sparseFile("many", 100 * MB));
    let collections = 0;
    const observer = new PerformanceObserver((list) => {
      const major = (each: PerformanceEntry): boolean =>
        (each as PerformanceEntry & { detail: { kind: number } }).detail.kind ===
        constants.NODE_PERFORMANCE_GC_MAJOR;
      collections += list.getEntries().filter(major).length;
    });
    observer.observe({ entryTypes: ["gc"] });
    const tensors = Array.from({ length: 300 }, () => file.tensor("a")); // 30 GB, were it memory
    await new Promise((resolve) => setTimeout(resolve, 100));
    observer.disconnect();
    expect(collections).toBeLessThan(5);
    for (const mapped of tensors) mapped.dispose();
  });

  it.skipIf(process.platform !== "linux")("are unmapped when the last is gone", () => {
    const file = sparseFile("unmapped", 4096);
    const mapped = (): boolean => fs.readFileSync("/proc/self/maps", "utf8").includes(file);
    const tensors = loadSafetensors(file);
    const view = tensors.get("a")?.narrow(0, 1, 2);
    for (const each of tensors.values()) each.dispose();
    expect(mapped()).toBe(true);
    expect(view?.tolist()).toEqual([0, 0]);
    view?.dispose();
    expect(mapped()).toBe(false);
  });

  it("belong to the open scope", () => {
    const file = sparseFile("scoped", 4096);
    collect();
    const before = liveTensors();
    scope(() => void loadSafetensors(file));
    expect(liveTensors()).toBe(before);
  });

  it("may be written: the file, and another tensor of it, stay as they were", () => {
    const file = sparseFile("written", 4096);
    const before = fs.readFileSync(file);
    const opened = SafetensorsFile.open(file);
    const [first, second] = [opened.tensor("a"), opened.tensor("b")];
    first.fill_(7);
    expect(first.slice(0, 0, 2).tolist()).toEqual([7, 7]);
    expect(second.sum().item()).toBe(0);
    expect(fs.readFileSync(file).equals(before)).toBe(true);
    expect(SafetensorsFile.open(file).tensor("a").sum().item()).toBe(0);
  });

  it.each([1, 2, 3])("are copied where the file does not align them (%i bytes off)", (skew) => {
    const file = sparseFile(`skew${skew}`, 4096, skew);
    const descriptor = fs.openSync(file, "r+");
    fs.writeSync(descriptor, Buffer.from(new Float32Array([1.25]).buffer), 0, 4, fs.statSync(file).size - 4);
    fs.closeSync(descriptor);
    const b = SafetensorsFile.open(file).tensor("b");
    expect(b.dataPointer % 4n).toBe(0n);
    expect(b.slice(0, 1022).tolist()).toEqual([0, 1.25]);
  });

  it.skipIf(process.platform === "win32")("outlive the file, replaced or removed", () => {
    const file = at("replaced");
    saveSafetensors(file, { a: tensor([1, 2], { dtype: "float32" }) });
    const old = loadSafetensors(file).get("a");
    saveSafetensors(file, { a: tensor([3, 4], { dtype: "float32" }) });
    expect(loadSafetensors(file).get("a")?.tolist()).toEqual([3, 4]);
    if (old) saveSafetensors(file, { a: old }); // over its own file's name
    fs.rmSync(file);
    expect(old?.tolist()).toEqual([1, 2]);
  });
});

// A valid file, and pieces that a header might be broken with.
const sample = fileBytes(
  `{"__metadata__":{"format":"pt","é":"v"},${entry("a", "F32", "2,2", "0,16")},${entry("b.c", "BF16", "3", "16,22")},` +
    `${entry("s", "I64", "", "22,30")},${entry("z", "U8", "0,4", "30,30")}}`,
  Buffer.from(Array.from({ length: 30 }, (_, i) => i)),
);
const pieces = [
  "0",
  "1",
  "16",
  "-1",
  "1.0",
  "1e2",
  "18446744073709551615",
  "18446744073709551616",
  '"',
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  " ",
  "\t",
  "\n",
  '"F32"',
  '"F4"',
  '"F8_E4M3"',
  "null",
  '"dtype"',
  '"x":1,',
  "\\u0041",
  "\\ud800",
  "é",
  "\0",
];

function mutate(random: () => number): Buffer {
  const below = (n: number): number => Math.floor(random() * n);
  if (random() < 0.3) {
    const bytes = Buffer.from(sample);
    if (random() < 0.5) return bytes.subarray(0, below(bytes.length));
    bytes[below(random() < 0.5 ? 12 : bytes.length)] = below(256);
    return bytes;
  }
  const length = Number(sample.readBigUInt64LE(0));
  let header = sample.subarray(8, 8 + length);
  let data = sample.subarray(8 + length);
  const splice = (start: number, remove: number, piece: Buffer): void => {
    header = Buffer.concat([header.subarray(0, start), piece, header.subarray(start + remove)]);
  };
  for (let round = 1 + below(2); round > 0; round--) {
    const start = below(header.length);
    const kind = random();
    if (kind < 0.3) splice(start, below(3), Buffer.from(pieces[below(pieces.length)] ?? ""));
    else if (kind < 0.5) splice(start, 1, Buffer.from([below(256)]));
    else if (kind < 0.6) splice(start, 1 + below(8), Buffer.alloc(0));
    else if (kind < 0.75) splice(start, 0, header.subarray(below(start + 1), start));
    else if (kind < 0.9) splice(start, 0, Buffer.from(" "));
    else if (kind < 0.95) data = data.subarray(0, below(data.length));
    else data = Buffer.concat([data, Buffer.from([below(256)])]);
  }
  return fileBytes(header, data);
}

describe("4,000 broken files", () => {
  it("give an error or tensors, as Python's reader says", () => {
    fs.writeFileSync(at("sample"), sample);
    expect(SafetensorsFile.open(at("sample")).names).toEqual(["a", "b.c", "s", "z"]);
    const random = seededRandom(20260101);
    const verdicts = Array.from({ length: 4000 }, (_, i) => {
      const file = at(`mutation-${i}`);
      fs.writeFileSync(file, mutate(random));
      try {
        const opened = SafetensorsFile.open(file);
        for (const name of opened.names) {
          if (!/^[A-Z]/.test(opened.info(name).dtype)) scope(() => void opened.tensor(name).toBytes());
        }
        opened.close();
        return "taken";
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
        return (error as Error).message.slice(file.length);
      }
    });
    const script = `
import json
from safetensors import deserialize
def verdict(i):
    try:
        deserialize(open(f"mutation-{i}", "rb").read())
        return True
    except Exception:
        return False
print(json.dumps([verdict(i) for i in range(4000)]))`;
    const command = process.env.QWEN_PT_REFERENCE_PYTHON ?? "python3";
    const theirs = JSON.parse(
      execFileSync(command, ["-c", script], { cwd: folder, encoding: "utf8" }),
    ) as boolean[];
    // Its reader lets a name appear twice, the last one winning, which the format forbids.
    const differing = verdicts.flatMap((ours, i) =>
      (ours === "taken") === theirs[i] || /appears? twice/.test(ours) ? [] : [[i, ours]],
    );
    expect(differing).toEqual([]);
    expect(verdicts.filter((verdict) => verdict === "taken").length).toBeGreaterThan(100);
  });
});
