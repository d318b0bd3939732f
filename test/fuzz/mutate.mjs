// What happens to a file on its way: bytes flipped, lost, repeated, overwritten with numbers that hurt; in JSON, values
// put in the place of others. A case is a seed and a number, so that it can be made again.

/** A generator of numbers in [0, 1): mulberry32. */
export function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export const pick = (random, list) => list[Math.floor(random() * list.length)];
const below = (random, count) => Math.floor(random() * count);

const NUMBERS = [0, 1, -1, 2, 7, 255, 256, 65535, 65536, 2 ** 31 - 1, -(2 ** 31), 2 ** 24, 2 ** 30];
const DEEP = (open, shut, count) => open.repeat(count) + shut.repeat(count);
const WORDS = [
  "null", "{}", "[]", '""', "true", "-1", "0", "1e999", "1e18", "0.5", "NaN", "-Infinity", '"../../x"', '"/etc/passwd"',
  '"\\u0000"', '"\\ud800"', '"a\\nb"', DEEP("[", "]", 200), DEEP('{"a":', "}", 1).replace("}", "1}"), "[null]", '{"":null}',
  '{"__proto__":{"x":1}}', `"${"x".repeat(3000)}"`, "9007199254740993", "[1,2,[3]]", '["a","b"]',
]; // biome-ignore format: a list to read
const PIECES = [
  "\0", "\ufeff", "\r", "\n\n", "\t", '"', "'", "\\", "{", "}", "[", "]", ",", ":", ";", "- ", "&a ", "*a", "<<: *a\n", "${a}",
  "${oc.env:HOME}", "!!python/object:os.system ", "|\n", "? ", "# ", "%YAML 1.2\n", "---\n", "1e400", "é", "\u2028", "😀",
  "<|im_end|>", "\u001b[31m",
]; // biome-ignore format: a list to read

const BYTES = [
  (bytes, random) => {
    for (let n = 1 + below(random, 3); n > 0; n--)
      bytes[below(random, bytes.length)] ^= 1 << below(random, 8);
    return bytes;
  },
  (bytes, random) => {
    bytes[below(random, bytes.length)] = pick(random, [0, 1, 0x7f, 0x80, 0xff, 0x20, 0x22, 0x0a]);
    return bytes;
  },
  (bytes, random) => bytes.subarray(0, below(random, bytes.length)),
  (bytes, random) => {
    const at = below(random, bytes.length);
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + below(random, 64))]);
  },
  (bytes, random) => {
    const at = below(random, bytes.length);
    const more = bytes.subarray(below(random, bytes.length)).subarray(0, below(random, 64));
    return Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at)]);
  },
  (bytes, random) => {
    if (bytes.length < 9) return bytes;
    const at = below(random, bytes.length - 8);
    const value = pick(random, NUMBERS);
    if (random() < 0.5) bytes.writeInt32LE(value | 0, at);
    else bytes.writeBigInt64LE(BigInt(value) * pick(random, [1n, 1n, 4096n, 2n ** 30n]), at);
    return bytes;
  },
];

const TEXT = [
  (bytes, random) => insert(bytes, random, Buffer.from(pick(random, PIECES))),
  (bytes, random) => insert(bytes, random, Buffer.from(pick(random, WORDS))),
  (bytes, random) => {
    const lines = bytes.toString("latin1").split("\n");
    const at = below(random, lines.length);
    if (random() < 0.5) lines.splice(at, 1);
    else lines.splice(below(random, lines.length), 0, ...Array(1 + below(random, 3)).fill(lines[at]));
    return Buffer.from(lines.join("\n"), "latin1");
  },
];

function insert(bytes, random, piece) {
  const at = below(random, bytes.length + 1);
  return Buffer.concat([
    bytes.subarray(0, at),
    piece,
    bytes.subarray(at + (random() < 0.5 ? piece.length : 0)),
  ]);
}

/** One value of a JSON text is another, is gone, or has another name. */
function changeJson(text, random) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return text;
  }
  const places = [];
  const walk = (node) => {
    if (typeof node !== "object" || node === null || places.length > 4000) return;
    for (const key of Object.keys(node)) {
      places.push([node, key]);
      walk(node[key]);
    }
  };
  walk(value);
  const marks = new Map();
  for (let n = 1 + below(random, 2); n > 0 && places.length > 0; n--) {
    // half of the time near the top, where the fewest values are
    const [node, key] = places[below(random, random() < 0.5 ? Math.min(places.length, 40) : places.length)];
    const how = random();
    if (how < 0.7) {
      const mark = `mark ${marks.size} of the fuzzer`;
      marks.set(JSON.stringify(mark), pick(random, WORDS));
      node[key] = mark;
    } else if (how < 0.85) {
      if (Array.isArray(node)) node.splice(Number(key), 1);
      else delete node[key];
    } else if (Array.isArray(node)) node.push(node[key]);
    else node[pick(random, ["a", key.toUpperCase(), `${key}2`, "__proto__", "0"])] = node[key];
  }
  let changed = JSON.stringify(value);
  for (const [mark, word] of marks) changed = changed.replaceAll(mark, () => word);
  return changed;
}

/** The header of safetensors is JSON behind its length. */
function changeHeader(bytes, random) {
  if (bytes.length < 8) return bytes;
  const length = Number(bytes.readBigUInt64LE(0));
  if (!(length <= bytes.length - 8)) return bytes;
  const header = Buffer.from(changeJson(bytes.subarray(8, 8 + length).toString(), random));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([size, header, bytes.subarray(8 + length)]);
}

/** @param form "bytes", "text", "json" or "safetensors" */
export function mutate(original, form, random) {
  let bytes = Buffer.from(original);
  if (form === "json" && random() < 0.7) bytes = Buffer.from(changeJson(bytes.toString(), random));
  else if (form === "safetensors" && random() < 0.6) bytes = changeHeader(bytes, random);
  else {
    for (let n = 1 + below(random, 3); n > 0 && bytes.length > 0; n--) {
      const ways = form === "bytes" || form === "safetensors" ? BYTES : random() < 0.6 ? TEXT : BYTES;
      bytes = Buffer.from(pick(random, ways)(bytes, random));
    }
  }
  return bytes;
}
