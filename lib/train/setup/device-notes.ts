// Keys of a recipe that mean something else, or nothing, on the device that the run has. Words only.
import type { Recipe } from "../../config/index.js";
import { type Device, isHost } from "../../torch/index.js";

/** A line for each such key. */
export function deviceNotes(
  { activation_offload: where, optim }: Pick<Recipe, "activation_offload" | "optim">,
  device: Device,
): string[] {
  const notes: string[] = [];
  if (where === "host" && isHost(device))
    notes.push(
      "activation_offload: host changes nothing on the CPU, whose memory it is; disk takes activations out of it",
    );
  if (/^paged_/.test(optim) && !isHost(device))
    notes.push(
      `optim: ${optim}: pages are the CPU's; on ${device} the same states stay in its memory, and a step is the same`,
    );
  return notes;
}
