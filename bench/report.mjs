// Writes what the bench has measured into the documents: the parts of docs/performance.md and of both READMEs that lie
// between <!-- bench NAME --> and <!-- /bench -->. A section that was not measured leaves its parts as they are.
//   node bench/report.mjs
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { gigabytes, root } from "./subject.mjs";

const number = (value, digits = 2) => value.toFixed(digits);
const ms = (seconds) => `${(1000 * seconds).toFixed(0)} ms`;
const mb = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;
const whole = (value) => value.toLocaleString("en-US");

/** A Markdown table. */
function table(head, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), `|${"---|".repeat(head.length)}`, ...rows.map(line)].join("\n");
}

/** The machine, and which version each section measured where they are not all of one. */
function machineOf({ machine, at, version }) {
  const words = machine.replace("2 x AMD EPYC", "two cores of an AMD EPYC (Zen 4)");
  const others = SECTIONS.flatMap((name) => {
    const one = measured(name);
    if (one === undefined) return [`${name}: not measured`];
    if (one.machine !== machine) return [`${name}: on another machine, ${one.machine}`];
    return one.version === version ? [] : [`${name}: version ${one.version}`];
  });
  const said = others.length > 0 ? ` But ${others.join("; ")}.` : "";
  return `The machine: ${words}. Measured on ${at.slice(0, 10)}, version ${version}.${said}`;
}

function peers({ found: { results, startUp, version } }) {
  const rows = Object.entries(results).map(([name, one]) => [
    name,
    number(one.tokensPerSecond, 1),
    number(one.speed ?? 1),
    gigabytes(one.peakBytes),
    number(one.memory ?? 1),
    one.lossDifference === undefined ? "" : one.lossDifference.toExponential(1),
  ]);
  const [theirs, ours] = [startUp.llamafactory, startUp["qwen-pt"]];
  return [
    table(["", "tokens/s", "ratio", "peak memory", "ratio", "losses apart, relatively"], rows),
    `From launch to the first forward pass of a recipe that was run before, tokens cached: ${number(theirs, 1)} s against ${number(ours)} s (${number(theirs / ours, 1)} times sooner). \`version\`: ${number(version.llamafactory, 1)} s against ${number(version["qwen-pt"])} s.`,
  ].join("\n\n");
}

function roofline({ found }) {
  const percent = (seconds) => `${number((100 * seconds) / found.step, 1)} %`;
  const line = (name, seconds) => [name, `${number(seconds)} s`, percent(seconds)];
  const rest = found.step - found.products - found.attention;
  const rates = Object.entries(found.rates).map(([name, rate]) => `${rate.toFixed(0)} (${name})`);
  const attention = found.attentionByLength.map(({ tokens, ours, theirs, ratio }) => [
    whole(tokens),
    ms(ours),
    ms(theirs),
    number(ratio),
  ]);
  return [
    table(
      ["a micro-step of 1,024 tokens, LoRA, nothing computed twice", `${number(found.step)} s`, ""],
      [
        line("matrix products at their measured rates", found.products),
        line("attention alone", found.attention),
        line("everything else: norms, rotations, SwiGLU, LoRA's own products, loss, calls", rest),
      ],
    ),
    `GFLOP/s of the products, forward and the input's gradient together: ${rates.join(", ")}. (Products + attention) / step: **${number(found.share)}**.`,
    table(["attention, forward and backward, tokens", "ours", "libtorch's", "ratio"], attention),
  ].join("\n\n");
}

const lines = (head, list, cells) => table(head, list.map(cells));

const ladder = ({ found }) =>
  lines(["", "tokens/s", "peak (resident)"], found.lines, (one) => [
    one.name,
    number(one.tokensPerSecond, 1),
    gigabytes(one.peakBytes),
  ]);

const context = ({ found }) =>
  lines(["tokens", "layers", "tokens/s", "peak (resident)"], found.lines, (one) => [
    whole(one.tokens),
    one.layers,
    number(one.tokensPerSecond, 1),
    gigabytes(one.peakBytes),
  ]);

function data({ found: { sideBySide: beside, sizes, training } }) {
  const program = (name, one) => [
    name,
    `${number(one.seconds, 1)} s`,
    `${number(one.processSeconds, 1)} s`,
    mb(one.peakBytes),
  ];
  return [
    lines(
      ["251,248 poems", "file to blocks", "launch to exit", "peak memory"],
      [program("LLaMA-Factory 0.9.5", beside.llamafactory), program("qwen-pt", beside.qwenPt)],
      (row) => row,
    ),
    `${number(beside.timesAsFast, 1)} times as fast (${number(beside.timesAsFastFromLaunch, 1)} from launch to exit) at ${number(beside.shareOfMemory)} of the memory; the blocks are ${beside.sameBlocks ? "the same, byte for byte" : "NOT the same"}.`,
    lines(["corpus", "file to blocks", "MB/s", "peak memory", "second launch"], sizes, (one) => [
      `${one.megabytes} MB, ${number(one.tokens / 1e6, 1)} M tokens`,
      `${number(one.seconds, 1)} s`,
      number(one.megabytesPerSecond, 1),
      mb(one.peakBytes),
      `${number(one.secondLaunch.seconds)} s`,
    ]),
    lines(
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
  ].join("\n\n");
}

const operators = ({ found }) =>
  `The median over ${found.rows.length} operators of our time over Python's, on tensors so small that the call is what takes time: **${number(found.grad)}** where a gradient is recorded, **${number(found.plain)}** where none is (libtorch ${found.libtorch}, Python's torch ${found.python}).`;

const estimate = ({ found: { found } }) =>
  lines(
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
  );

/** The README's choice of rows, by language. */
const SHOWN = [
  ["qwen-pt, LoRA", "qwen-pt, LoRA, what it chooses here", "qwen-pt，LoRA（此机器上自动选择的方式）"],
  ["qwen-pt, LoRA, selective", "qwen-pt, LoRA, selective checkpointing", "qwen-pt，LoRA，选择性检查点"],
  [
    "qwen-pt, LoRA, checkpointing",
    "qwen-pt, LoRA, checkpointing of whole layers",
    "qwen-pt，LoRA，整层检查点",
  ],
  ["LLaMA-Factory, LoRA", "LLaMA-Factory 0.9.5, LoRA, its defaults", "LLaMA-Factory 0.9.5，LoRA，默认设置"],
  ["plain PyTorch + PEFT loop", "a tuned plain loop, PyTorch + PEFT", "手写并调优的 PyTorch + PEFT 循环"],
  ["qwen-pt, full", "qwen-pt, full", "qwen-pt，全参数"],
  [
    "qwen-pt, full, checkpointing",
    "qwen-pt, full, checkpointing of whole layers",
    "qwen-pt，全参数，整层检查点",
  ],
  ["LLaMA-Factory, full", "LLaMA-Factory 0.9.5, full", "LLaMA-Factory 0.9.5，全参数"],
];
const short =
  (column, head) =>
  ({ found: { results } }) =>
    lines(head, SHOWN, (names) => {
      const one = results[names[0]];
      return [names[column], number(one.tokensPerSecond, 1), gigabytes(one.peakBytes)];
    });

const apart = ({ found: { results } }) =>
  Math.max(
    ...Object.entries(results).flatMap(([name, one]) =>
      name.startsWith("qwen-pt") ? [one.lossDifference] : [],
    ),
  ).toExponential(1);

function claims(result) {
  const { startUp } = result.found;
  const rows = [
    [
      "losses of those steps beside LLaMA-Factory's",
      `${apart(result)} apart at most, relatively`,
      "the same",
    ],
    [
      "from launch to the first forward pass, tokens cached",
      `${number(startUp["qwen-pt"], 1)} s; LLaMA-Factory ${number(startUp.llamafactory, 1)} s`,
      "the same",
    ],
  ];
  const found = measured("data")?.found.sideBySide;
  if (found !== undefined) {
    const of = (one) => `${number(one.seconds, 1)} s, ${mb(one.peakBytes)}`;
    const same = found.sameBlocks ? ", the same blocks" : "";
    const said = `${of(found.qwenPt)}; LLaMA-Factory ${of(found.llamafactory)}${same}`;
    rows.push(["251,248 poems, from file to packed blocks", said, "`npm run bench -- data`"]);
  }
  const estimates = measured("estimate")?.found.found;
  if (estimates !== undefined) {
    const worst = (field) =>
      `${Math.ceil(100 * Math.max(...estimates.map((one) => Math.abs(one[field] - 1))))} %`;
    const said = `memory within ${worst("memoryRatio")}, time within ${worst("timeRatio")}`;
    rows.push(["`qwen-pt estimate` beside what is measured", said, "`npm run bench -- estimate`"]);
  }
  return table(["", "", "by"], rows);
}

const lossesInChinese = (result) => `这两步的损失与 LLaMA-Factory 相对相差不超过 ${apart(result)}。`;

/** Part of a document -> the section that it is of, and what it says. */
const PARTS = {
  machine: ["peers", machineOf],
  peers: ["peers", peers],
  "peers in short": ["peers", short(1, ["", "tokens/s", "peak memory (PSS of all processes)"])],
  claims: ["peers", claims],
  "losses, zh": ["peers", lossesInChinese],
  "peers in short, zh": ["peers", short(2, ["", "词元/秒", "峰值内存（所有进程的 PSS）"])],
  roofline: ["roofline", roofline],
  ladder: ["ladder", ladder],
  context: ["context", context],
  data: ["data", data],
  operators: ["operators", operators],
  estimate: ["estimate", estimate],
};

const SECTIONS = [...new Set(Object.values(PARTS).map(([section]) => section))];

function measured(section) {
  const file = path.join(root, ".bench", "results", `${section}.json`);
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
}

for (const document of ["docs/performance.md", "README.md", "README.zh-CN.md"]) {
  const file = path.join(root, document);
  const before = readFileSync(file, "utf8");
  const after = before.replace(/<!-- bench ([^>]+) -->[\s\S]*?<!-- \/bench -->/g, (old, name) => {
    const part = PARTS[name];
    if (part === undefined) throw new Error(`${document}: the bench has no part ${name}`);
    const [section, render] = part;
    const result = measured(section);
    if (result === undefined) return old;
    console.log(`${document}: ${name}`);
    return `<!-- bench ${name} -->\n\n${render(result)}\n\n<!-- /bench -->`;
  });
  if (after !== before) writeFileSync(file, after);
}
