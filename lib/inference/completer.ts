// What `chat` needs of a model: text in, tokens out. The only file of the command line that touches one.
import type { Recipe } from "../config/index.js";
import type { HubEvent } from "../hub/index.js";

/** A loaded model with its tokenizer. */
export interface Completer {
  /** Token ids of a text; none are added. */
  encode(text: string): Promise<ArrayLike<number>>;
  /** The text of token ids. */
  decode(ids: readonly number[]): string;
  /** Token ids that continue `prompt`, until the model ends, the limit is reached or `signal` fires. */
  continue(prompt: ArrayLike<number>, signal: AbortSignal): AsyncIterable<number>;
}

/** Loads the recipe's model, with its adapter where it names one. */
export async function openCompleter(recipe: Recipe, onEvent?: (event: HubEvent) => void): Promise<Completer> {
  const [{ generate }, { loadForInference }] = await Promise.all([
    import("./generate.js"),
    import("./open-model.js"),
  ]);
  const { model, tokenizer } = await loadForInference(recipe, { onEvent });
  const options = {
    maxNewTokens: recipe.max_new_tokens,
    // LLaMA-Factory's temperature 0 means the likeliest token; dividing by it means nothing
    sample: recipe.do_sample && recipe.temperature > 0,
    temperature: recipe.temperature > 0 ? recipe.temperature : 1,
    topK: recipe.top_k,
    topP: recipe.top_p,
    repetitionPenalty: recipe.repetition_penalty,
  };
  return {
    encode: (text) => tokenizer.encode(text),
    decode: (ids) => tokenizer.decode(ids, { skipSpecialTokens: recipe.skip_special_tokens }),
    continue: (prompt, signal) => generate(model, prompt, { ...options, signal }),
  };
}
