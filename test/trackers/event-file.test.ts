// Event files, byte for byte what TensorBoard's own protobuf classes and checksums give (test/fixtures/trackers/make.py).
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, it } from "vitest";
import { checksum } from "../../lib/trackers/tensorboard/checksum.js";
import { EventFile } from "../../lib/trackers/tensorboard/event-file.js";

const { png, file: theirs } = JSON.parse(
  readFileSync(path.join(import.meta.dirname, "../fixtures/trackers/events.json"), "utf8"),
) as { png: string; file: string };

const root = mkdtempSync(path.join(tmpdir(), "qwen-pt-events-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

it("CRC-32C is RFC 3720's", () => {
  expect(checksum(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(checksum(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
  expect(checksum(Uint8Array.from({ length: 32 }, (_, at) => at))).toBe(0x46dd794e);
});

it("records are TensorBoard's, bit for bit", () => {
  const place = path.join(root, "events");
  const events = new EventFile(place, () => 1.5);
  events.restart(41);
  events.write(0, [{ tag: "args/text_summary", text: '    {"名": 1}' }]);
  events.write(300, [
    { tag: "train/loss", scalar: 2.25 },
    { tag: "train/learning_rate", scalar: 1e-4 },
    { tag: "train/grad_norm", scalar: Number.NaN },
  ]);
  events.write(5_000_000_000, [{ tag: "figures/x", png: Buffer.from(png, "base64") }]);
  events.close();
  expect(readFileSync(place).toString("hex")).toBe(Buffer.from(theirs, "base64").toString("hex"));
});

it("never writes into a file that is there", () => {
  new EventFile(path.join(root, "once")).close();
  expect(() => new EventFile(path.join(root, "once"))).toThrow("EEXIST");
});
