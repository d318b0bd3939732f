// What each section of the bench says in docs/performance.md, of one kind of processor: tables and sentences by name, which
// beside.mjs puts together. The README's own choices are report_readme.mjs.
import { gigabytes } from "../harness/subject.mjs";

export const number = (value, digits = 2) => value.toFixed(digits);
/** tokens/s: two digits where one would hide most of it. */
export const rate = (value) => number(value, value < 10 ? 2 : 1);
export const mb = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;
const ms = (seconds) => `${(1000 * seconds).toFixed(0)} ms`;
const whole = (value) => value.toLocaleString("en-US");
const lines = (head, list, cells) => ({ head, rows: list.map(cells) });

function peers({ results, startUp, version }) {
  const entries = Object.entries(results);
  const [theirs, ours] = [startUp.llamafactory, startUp["qwen-pt"]];
  const blocks = {
    results: lines(
      ["", "tokens/s", "ratio", "peak memory", "ratio", "losses apart"],
      entries,
      ([name, one]) =>
        one.refused === undefined
          ? [
              name,
              rate(one.tokensPerSecond),
              number(one.speed ?? 1),
              gigabytes(one.peakBytes),
              number(one.memory ?? 1),
              one.lossDifference?.toExponential(1) ?? "",
            ]
          : [name, "refuses", "", "", "", ""],
    ),
    start: `from launch to the first forward pass of a recipe that was run before, tokens cached: ${number(theirs, 1)} s against ${number(ours)} s (${number(theirs / ours, 1)} times sooner). \`version\`: ${number(version.llamafactory, 1)} s against ${number(version["qwen-pt"])} s.`,
  };
  const refused = entries.filter(([, one]) => one.refused !== undefined);
  if (refused.length > 0) blocks.refused = refused.map(([name, one]) => `${name} ${one.refused}`).join("; ");
  return blocks;
}

function products({ modes }) {
  const share = ({ added, bf16 }) => number(added / bf16);
  const worst = (shapes, field) =>
    Math.max(...shapes.flatMap((one) => Object.values(one[field]).map(({ added, bf16 }) => added / bf16)));
  const blocks = {};
  for (const [mode, { shapes, overModel }] of Object.entries(modes)) {
    const head = ["forward / float32", "gradient / float32", "error added / bf16's own", "gradient's"];
    blocks[mode] = lines([`\`${mode}\`, a weight of`, ...head], shapes, (one) => [
      one.name,
      number(one.forward.ratio),
      number(one.gradient.ratio),
      share(one.errors.forward),
      share(one.errors.gradient),
    ]);
    blocks[`${mode}, said`] =
      `\`${mode}\` over the whole model: **${number(overModel)}** times the rate of float32. It adds at most ${number(worst(shapes, "errors"))} of bf16's own error (${number(100 * shapes[0].errors.forward.bf16)} %), ${number(worst(shapes, "errorsWithOutliers"))} where some channels are 30 times larger than the others.`;
  }
  return blocks;
}

function bits({ bases }) {
  const range = (values) => `${number(Math.min(...values))} to ${number(Math.max(...values))}`;
  const head = ["base", "perplexity before", "after, three seeds", "the adapters over the original weights"];
  const cells = (one) => [one.name, number(one.before), range(one.after), range(one.original)];
  return { bases: lines(head, bases, cells) };
}

function quantized({ runs, loads }) {
  const [{ tokensPerSecond: base }] = Object.values(runs);
  const head = ["base", "tokens/s", "ratio", "peak memory", "s before and after the steps", "losses"];
  const gigabytesPerSecond = ({ seconds, bytes }) => number(bytes / seconds / 1e9);
  return {
    runs: lines(head, Object.entries(runs), ([name, one]) => [
      name,
      rate(one.tokensPerSecond),
      number(one.tokensPerSecond / base),
      gigabytes(one.peakBytes),
      number(one.aroundSeconds, 1),
      one.losses.map((loss) => number(loss, 3)).join(", "),
    ]),
    loads: lines(["read from the 16-bit file as", "GB/s"], Object.entries(loads), ([name, one]) => [
      name,
      gigabytesPerSecond(one),
    ]),
  };
}

const quality = ({ steps, lines: seeds }) => ({
  losses: lines(
    [`seed, ${steps} steps`, "float32", "panels", "relatively", "int16", "relatively"],
    seeds,
    (one) => [
      one.seed,
      number(one.float32, 4),
      ...["panels", "int16"].flatMap((mode) => [
        number(one[mode].loss, 4),
        `${number(100 * one[mode].difference, 3)} %`,
      ]),
    ],
  ),
});

const busy = ({ lines: settings, ratio }) => ({
  rates: lines(["tokens/s, threads that wait by", "left alone", "one core taken"], settings, (one) => [
    one.setting,
    rate(one.quiet),
    rate(one.busy),
  ]),
  said: `with one core taken, ${number(ratio)} times OpenMP's default.`,
});

function roofline(found) {
  const percent = (seconds) => `${number((100 * seconds) / found.step, 1)} %`;
  const line = (name, seconds) => [name, `${number(seconds)} s`, percent(seconds)];
  const rates = Object.entries(found.rates).map(([name, value]) => `${value.toFixed(0)} (${name})`);
  return {
    step: {
      head: ["", "time", "share"],
      rows: [
        line("a micro-step of 1,024 tokens, LoRA, nothing computed twice", found.step),
        line("matrix products at their measured rates", found.products),
        line("attention alone", found.attention),
        line(
          "everything else: norms, rotations, SwiGLU, LoRA's own products, loss, calls",
          found.step - found.products - found.attention,
        ),
      ],
    },
    rates: `GFLOP/s of ${found.dtype ?? "bfloat16"} products, forward and the input's gradient together: ${rates.join(", ")}. (Products + attention) / step: **${number(found.share)}**.`,
    attention: lines(
      ["attention, forward and backward, tokens", "ours", "libtorch's", "ratio"],
      found.attentionByLength,
      (one) => [whole(one.tokens), ms(one.ours), ms(one.theirs), number(one.ratio)],
    ),
  };
}

const ladder = (found) => ({
  levers: lines(["", "tokens/s", "peak (resident)"], found.lines, (one) => [
    one.name,
    rate(one.tokensPerSecond),
    gigabytes(one.peakBytes),
  ]),
});

const context = (found) => ({
  lengths: lines(["tokens (layers)", "tokens/s", "peak (resident)"], found.lines, (one) => [
    `${whole(one.tokens)} (${one.layers})`,
    rate(one.tokensPerSecond),
    gigabytes(one.peakBytes),
  ]),
});

/** Results of before encoders were compared have none. */
const encoderTable = (encoders) =>
  encoders && {
    encoders: lines(["encoder", "corpus", "MB/s", "peak memory", "tokens"], encoders, (one) => [
      one.label,
      `${one.megabytes} MB`,
      number(one.megabytesPerSecond, 1),
      mb(one.peakBytes),
      one.sameTokens ? "as many" : whole(one.tokens),
    ]),
  };

function data({ sideBySide: beside, sizes, encoders, training }) {
  const program = (name, one) => [
    name,
    `${number(one.seconds, 1)} s`,
    `${number(one.processSeconds, 1)} s`,
    mb(one.peakBytes),
  ];
  return {
    poems: {
      head: ["251,248 poems", "file to blocks", "launch to exit", "peak memory"],
      rows: [program("LLaMA-Factory 0.9.5", beside.llamafactory), program("qwen-pt", beside.qwenPt)],
    },
    ratio: `${number(beside.timesAsFast, 1)} times as fast (${number(beside.timesAsFastFromLaunch, 1)} from launch to exit) at ${number(beside.shareOfMemory)} of the memory; the blocks are ${beside.sameBlocks ? "the same, byte for byte" : "NOT the same"}.`,
    ...encoderTable(encoders),
    sizes: lines(["corpus", "file to blocks", "MB/s", "peak memory", "second launch"], sizes, (one) => [
      `${one.megabytes} MB, ${number(one.tokens / 1e6, 1)} M tokens`,
      `${number(one.seconds, 1)} s`,
      number(one.megabytesPerSecond, 1),
      mb(one.peakBytes),
      `${number(one.secondLaunch.seconds)} s`,
    ]),
    waits: lines(
      [
        "the embedded model, from",
        "steps",
        "waiting for data",
        "a step, second quarter",
        "last quarter",
        "memory, second quarter",
        "last quarter",
      ],
      Object.entries(training),
      ([way, one]) => [
        way,
        whole(one.steps),
        `${number(100 * one.waitShare)} %`,
        `${number(one.early.milliseconds, 1)} ms`,
        `${number(one.late.milliseconds, 1)} ms`,
        mb(one.early.memoryBytes),
        mb(one.late.memoryBytes),
      ],
    ),
  };
}

const operators = (found) => ({
  median: `the median over ${found.count} operators of our time over Python's, on tensors so small that the call is what takes time: **${number(found.grad)}** where a gradient is recorded, **${number(found.plain)}** where none is (libtorch ${found.libtorch}, Python's torch ${found.python}).`,
});

const estimate = ({ found }) => ({
  cases: lines(
    ["a step of 2 x 1,024 tokens", "memory said", "measured", "ratio", "time said", "measured", "ratio"],
    found,
    (one) => [
      one.name,
      gigabytes(one.predictedBytes),
      gigabytes(one.peakBytes),
      number(one.memoryRatio),
      `${number(one.predictedSeconds, 1)} s`,
      `${number(one.seconds, 1)} s`,
      number(one.timeRatio),
    ],
  ),
});

/** Section -> what it found -> blocks by name. */
export const sections = {
  peers,
  products,
  quality,
  quantized,
  bits,
  busy,
  roofline,
  ladder,
  context,
  data,
  operators,
  estimate,
};
