// One child of the fuzzer: makes the cases that it is told of, reads each, and says how it ended. It may die or hang;
// its parent knows at which case.
import { mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import path from "node:path";
import { copyAround, KINDS } from "./kinds.mjs";
import { mutate, pick, randomOf } from "./mutate.mjs";

const [folder, made, seed] = process.argv.slice(2);
/** GB from which on a child is not used any longer: the peak would be laid on all cases that follow. */
const LARGE = 1;
/** Cases side by side, between two looks at the peak, which cost as much as reading a small file. */
const TOGETHER = 20;
const readers = new Map();
const copied = new Map();

function write(index, kind, random) {
  const seeds = KINDS[kind].seeds(made);
  const original = pick(random, seeds);
  const { form } = KINDS[kind];
  if (typeof original === "string") {
    const file = path.join(folder, path.basename(original).replace(/^[^.]*/, `${index}`));
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
    return { outcome: "error", message: `${error?.name}: ${error?.stack ?? error}`.slice(0, 900) };
  } finally {
    if (process.env.FUZZ_KEEP === undefined) for (const file of remove) rmSync(file, { force: true });
  }
}

const status = openSync(path.join(folder, "status"), "w");

/** Some cases side by side: what one waits for, another uses. Those in folders come one after the other. */
async function together(cases) {
  const timed = async ({ index, kind }) => {
    const before = performance.now();
    const result = await once(index, kind);
    return { index, kind, ...result, seconds: (performance.now() - before) / 1000 };
  };
  let previous;
  return Promise.all(
    cases.map((one) => {
      if (KINDS[one.kind].folder === undefined) return timed(one);
      previous = Promise.resolve(previous).then(() => timed(one));
      return previous;
    }),
  );
}

// A whole range in one go: where it stands is in a file, which outlives a crash and needs no one's turn to be sent.
process.on("message", async ({ cases }) => {
  const { user, system } = process.cpuUsage();
  const started = (user + system) / 1e6;
  for (let at = 0; at < cases.length; at += TOGETHER) {
    const group = cases.slice(at, at + TOGETHER);
    writeSync(status, `${group[0].index} ${group.at(-1).index}`.padEnd(24), 0);
    for (const { kind } of group) if (!readers.has(kind)) readers.set(kind, await KINDS[kind].reader());
    const results = await together(group);
    // all since the last look share the peak: where it is large, each is done again by itself
    const peak = process.resourceUsage().maxRSS / 1e6;
    process.send({ results, peak });
    if (peak >= LARGE) break;
  }
  const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
  const cpu = (userCPUTime + systemCPUTime) / 1e6 - started;
  process.send({ results: [], peak: maxRSS / 1e6, cpu, ended: true });
});
