// What processes tell each other that is more than numbers.
import type { Strategy } from "./strategy.js";

/** Every process's value, in the order of ranks: what JSON can hold. */
export async function gatherJson<T>(own: T, { gather }: Pick<Strategy, "gather">): Promise<T[]> {
  const texts = await gather([...Buffer.from(JSON.stringify(own))]);
  return texts.map((bytes) => JSON.parse(Buffer.from(bytes).toString()) as T);
}
