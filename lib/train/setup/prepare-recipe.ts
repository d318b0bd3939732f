// prepare() for programs, loaded when it is called: with it comes most of the package.
import type { LoadedRecipe } from "../../config/index.js";
import type { Emit } from "../../events.js";
import type { Prepared } from "./prepare.js";

/**
 * Reads the tokenizer, packs the data, loads the model and makes it trainable: what a `Trainer` is made from.
 * @param emit takes what there is to say
 * @throws UserError for anything wrong with what the recipe names
 */
export async function prepare(loaded: LoadedRecipe, emit: Emit, signal?: AbortSignal): Promise<Prepared> {
  return (await import("./prepare.js")).prepare(loaded, emit, signal);
}
