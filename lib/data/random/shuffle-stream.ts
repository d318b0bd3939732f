// Shuffling a stream through a buffer, as Hugging Face's iterable datasets do it. Nothing is held but the buffer's items.

import { DRAWS } from "./mixing.js";
import type { NumpyGenerator } from "./numpy-generator.js";

/** Each item in the place of one that is drawn from the `size` that wait; the generator itself stays where it is. */
export async function* shuffledStream<T>(
  stream: Iterable<T> | AsyncIterable<T>,
  size: number,
  generator: NumpyGenerator,
): AsyncGenerator<T, void, undefined> {
  const own = generator.clone();
  const buffer: T[] = [];
  let places: number[] = [];
  for await (const item of stream) {
    if (buffer.length < size) {
      buffer.push(item);
      continue;
    }
    if (places.length === 0) places = Array.from({ length: DRAWS }, () => own.below(size)).reverse();
    const place = places.pop()!;
    yield buffer[place]!;
    buffer[place] = item;
  }
  own.shuffle(buffer);
  yield* buffer;
}
