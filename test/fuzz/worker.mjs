// One child of the fuzzer: makes the cases that it is told of, reads each, and says how it ended. It may die or hang;
// its parent knows at which case.
import { mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import path from "node:path";
import { copyAround, KINDS } from "./kinds.mjs";
import { mutate, pick, randomOf } from "./mutate.mjs";

const [folder, made, seed] = process.argv.slice(2);
/** GB from which on a child is not used any longer. */
const LARGE = 1;
const readers = new Map();
const copied = new Map();

function write(index, kind, random) {
  const seeds = KINDS[kind].seeds(made);
  const original = pick(random, seeds);
  const { form } = KINDS[kind];
  if (typeof original === "string") {
    const file = path.join(folder, `${index}${path.extname(original)}`);
    writeFileSync(file, mutate(readFileSync(original), form, random));
    return { read: file, remove: [file] };
  }
  // the rest of the folder is copied once; a damaged file never takes the place of another under its own inode
  const key = `${kind}/${original.name}`;
  const place = path.join(folder, key.replaceAll("/", "-"));
  if (!copied.has(key)) copyAround(original, place);
  copied.set(key, true);
  const file = path.join(place, original.name);
  mkdirSync(path.dirname(file), { recursive: true });
  rmSync(file, { force: true });
  writeFileSync(
    file,
    mutate(readFileSync(path.join(original.from, original.name)), form(original.name), random),
  );
  return { read: place, remove: [] };
}

async function once(index, kind) {
  const random = randomOf(Number(seed) * 1_000_003 + index);
  const { read, remove } = write(index, kind, random);
  try {
    await readers.get(kind)(read, index);
    return { outcome: "read" };
  } catch (error) {
    if (error?.name === "UserError" && !error.message.includes("\n") && error.message.length < 2000)
      return { outcome: "refused", message: error.message };
    return { outcome: "fault", message: `${error?.name}: ${error?.stack ?? error}`.slice(0, 900) };
  } finally {
    if (process.env.FUZZ_KEEP === undefined) for (const file of remove) rmSync(file, { force: true });
  }
}

const status = openSync(path.join(folder, "status"), "w");

// A whole range in one go: where it stands is in a file, which outlives a crash and needs no one's turn to be sent.
process.on("message", async ({ cases }) => {
  let results = [];
  for (const { index, kind } of cases) {
    writeSync(status, `${index}`.padEnd(12), 0);
    if (!readers.has(kind)) readers.set(kind, await KINDS[kind].reader());
    const before = process.cpuUsage();
    const result = await once(index, kind);
    const { user, system } = process.cpuUsage(before);
    const rss = process.resourceUsage().maxRSS / 1e6;
    results.push({ index, kind, ...result, seconds: (user + system) / 1e6, rss });
    if (results.length < 100 && rss < LARGE) continue;
    process.send({ results });
    results = [];
    // the memory's peak would be laid on all cases that follow
    if (rss >= LARGE) break;
  }
  process.send({ results, ended: true });
});
