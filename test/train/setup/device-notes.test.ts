// What a run says of keys that its device takes otherwise.
import { expect, it } from "vitest";
import { deviceNotes } from "../../../lib/train/setup/device-notes.js";

it.each([
  ["host", "adamw_torch", "cpu", [/^activation_offload: host changes nothing on the CPU/]],
  ["host", "adamw_torch", "cuda:0", []],
  ["disk", "paged_adamw_8bit", "cpu", []],
  ["none", "paged_adamw_8bit", "cuda:0", [/^optim: paged_adamw_8bit: pages are the CPU's; on cuda:0 /]],
] as const)("activation_offload: %s and optim: %s on %s", (activation_offload, optim, device, lines) => {
  expect(deviceNotes({ activation_offload, optim }, device)).toEqual(
    lines.map((line) => expect.stringMatching(line)),
  );
});
