// What this package makes of a case of the differential run, and how that stands to what the reference made of it.

const lib = (file) => import(new URL(`../../../dist/${file}`, import.meta.url));

/** What is refused here and read there: each for a reason that is said, with what to do. */
export const REFUSALS = [
  /half of a surrogate pair/,
  // PEFT and transformers make up what a name does not bring, or pass it over; here nothing is made up
  /unexpected tensor ".*"; adapter_config\.json or the base model/,
  /unexpected tensor ".*"; config\.json has no place for it/,
];

async function rows({ file }) {
  const { readDocuments } = await lib("data/index.js");
  const texts = [];
  const columns = { formatting: "alpaca", prompt: "text" };
  for await (const text of readDocuments({ name: "x", files: [file], columns })) texts.push(text);
  return texts;
}

async function tokenizer({ folder, texts }) {
  const { loadTokenizer } = await lib("data/index.js");
  const read = await loadTokenizer(folder);
  const ids = (await read.encodeBatch(texts)).map((one) => Array.from(one));
  await read.release();
  return { ids, eos: read.eosId, pad: read.padId, size: read.vocabSize };
}

async function logits(folder, adapter) {
  const { loadModel } = await lib("models/index.js");
  const { loadAdapter } = await lib("peft/index.js");
  const { noGrad, scope, tensor } = await lib("torch/index.js");
  const model = loadModel(folder, undefined, { onNote: () => {} });
  model.requiresGrad_(false).eval();
  if (adapter !== undefined) loadAdapter(model, adapter);
  const ids = tensor(BigInt64Array.from({ length: 12 }, (_, at) => BigInt(at + 1))).view([1, 12]);
  const found = scope(() => noGrad(() => model.forward({ inputIds: ids }).float().tolist()));
  for (const parameter of model.parameters()) parameter.dispose();
  const [sequence] = found;
  return sequence.filter((_, at) => at % 5 === 0).flatMap((row) => row.filter((_, at) => at % 7 === 0));
}

const READERS = {
  rows,
  tokenizer,
  model: ({ folder }) => logits(folder),
  adapter: ({ folder, base }) => logits(base, folder),
};

/** { value } or { refused }. */
export async function readCase(one) {
  try {
    return { value: await READERS[one.kind](one) };
  } catch (error) {
    if (error?.name === "UserError") return { refused: error.message };
    return { broken: `${error?.name}: ${error?.message}` };
  }
}

/** "same", "refused by both", "read here only", "refused here, for a reason", or a divergence in words. */
export function outcomeOf(kind, ours, theirs) {
  if (ours.broken !== undefined) return `broken: ${ours.broken}`;
  if (theirs.refused !== undefined) return ours.refused === undefined ? "read here only" : "refused by both";
  if (ours.refused !== undefined)
    return REFUSALS.some((one) => one.test(ours.refused))
      ? "refused here, for a reason"
      : `refused here: ${ours.refused}`;
  if (isClose(kind, ours.value, theirs.value)) return "same";
  return `differs: ${JSON.stringify(ours.value).slice(0, 300)} where the reference has ${JSON.stringify(theirs.value).slice(0, 300)}`;
}

function isClose(kind, ours, theirs) {
  if (kind === "rows") return JSON.stringify(ours) === JSON.stringify(theirs);
  if (kind === "tokenizer") {
    const { eos, pad, ...rest } = theirs;
    // a tokenizer without an end or a pad has Qwen's here: a run needs one
    const same = (key) => theirs[key] === null || ours[key] === theirs[key];
    return (
      JSON.stringify({ ids: ours.ids, size: ours.size }) === JSON.stringify(rest) &&
      same("eos") &&
      same("pad")
    );
  }
  const size = Math.hypot(...theirs);
  return (
    ours.length === theirs.length && Math.hypot(...ours.map((one, at) => one - theirs[at])) < 1e-4 * size
  );
}
