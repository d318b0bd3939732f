// What the READMEs show of the bench: one table of every kind of processor, the ratios to LLaMA-Factory, and the claims
// beneath them, in English and Chinese.

import { gigabytes } from "../harness/subject.mjs";
import { markdown } from "./beside.mjs";
import { mb, number, rate } from "./report_sections.mjs";

/** Rows: what they are called in English and in Chinese, and the contestants of which a processor has one. */
const SHOWN = [
  ["qwen-pt, LoRA, what it chooses here", "qwen-pt，LoRA（此机器上自动选择的方式）", "qwen-pt, LoRA"],
  ["qwen-pt, LoRA, selective checkpointing", "qwen-pt，LoRA，选择性检查点", "qwen-pt, LoRA, selective"],
  [
    "qwen-pt, LoRA, checkpointing of whole layers",
    "qwen-pt，LoRA，整层检查点",
    "qwen-pt, LoRA, checkpointing",
  ],
  [
    "LLaMA-Factory 0.9.5, LoRA, the recipe",
    "LLaMA-Factory 0.9.5，LoRA，原配方",
    "LLaMA-Factory, LoRA",
    "LLaMA-Factory, LoRA, steps of 64 tokens",
  ],
  [
    "LLaMA-Factory 0.9.5, LoRA, float32",
    "LLaMA-Factory 0.9.5，LoRA，float32",
    "LLaMA-Factory, LoRA, float32",
  ],
  [
    "a tuned plain loop, PyTorch + PEFT",
    "手写并调优的 PyTorch + PEFT 循环",
    "plain PyTorch + PEFT loop",
    "plain PyTorch + PEFT loop, float32",
  ],
  ["Unsloth 2026.10.9, LoRA", "Unsloth 2026.10.9，LoRA", "Unsloth, LoRA"],
  ["qwen-pt, full", "qwen-pt，全参数", "qwen-pt, full"],
  [
    "qwen-pt, full, checkpointing of whole layers",
    "qwen-pt，全参数，整层检查点",
    "qwen-pt, full, checkpointing",
  ],
  [
    "LLaMA-Factory 0.9.5, full",
    "LLaMA-Factory 0.9.5，全参数",
    "LLaMA-Factory, full",
    "LLaMA-Factory, full, float32",
  ],
];

const WORDS = {
  en: {
    column: 0,
    memory: "peak memory",
    rate: "tokens/s",
    refuses: "refuses",
    best: "qwen-pt / LLaMA-Factory at its best there, LoRA",
    recipe: "qwen-pt / LLaMA-Factory, both by the recipe",
    note: (name) =>
      `${name} has no arithmetic for the recipe's bf16: LLaMA-Factory takes an hour a block there, so its row by the recipe is of two steps of 64 tokens, and it, the plain loop and full fine-tuning by LLaMA-Factory run in float32, their best setting; qwen-pt runs the recipe.`,
  },
  zh: {
    column: 1,
    memory: "峰值内存",
    rate: "词元/秒",
    refuses: "拒绝运行",
    best: "qwen-pt / LLaMA-Factory（该处理器上的最佳设置），LoRA",
    recipe: "qwen-pt / LLaMA-Factory，均按原配方",
    note: (name) =>
      `${name} 没有 bf16 运算指令：LLaMA-Factory 按原配方跑一个块约需一小时，因此该行只跑两步、每步 64 个词元；它的其余各行和手写循环都用 float32，即它们在该处理器上的最佳设置。qwen-pt 始终按原配方运行。`,
  },
};

const SHORT = "qwen-pt, LoRA, steps of 64 tokens";
const resultsOf = ({ found }) => found.results;

/** @param peers kind of processor -> the section `peers` measured on it */
export function peersInShort(peers, language) {
  const words = WORDS[language];
  const kinds = Object.entries(peers).map(([name, section]) => [name, resultsOf(section)]);
  const head = ["", ...kinds.flatMap(([name]) => [`${name}: ${words.rate}`, words.memory])];
  const cell = (results, names) => {
    const one = names.map((name) => results[name]).find((each) => each !== undefined);
    if (one === undefined) return ["", ""];
    return one.refused === undefined
      ? [rate(one.tokensPerSecond), gigabytes(one.peakBytes)]
      : [words.refuses, ""];
  };
  const rows = SHOWN.map(([english, chinese, ...names]) => [
    [english, chinese][words.column],
    ...kinds.flatMap(([, results]) => cell(results, names)),
  ]);
  const ratio = ({ speed, memory }) => [`**${number(speed)}**`, `**${number(memory)}**`];
  rows.push([words.best, ...kinds.flatMap(([, results]) => ratio(results["qwen-pt, LoRA"]))]);
  rows.push([
    words.recipe,
    ...kinds.flatMap(([, results]) => ratio(results[SHORT] ?? results["qwen-pt, LoRA"])),
  ]);
  const measured = rows.filter(([, ...cells]) => cells.some((each) => each !== ""));
  const without = kinds.filter(([, results]) => results[SHORT] !== undefined).map(([name]) => name);
  const note = without.length > 0 ? `\n\n${words.note(without.join(", "))}` : "";
  return markdown(head, measured) + note;
}

/** Where both computed in the same numbers: the largest relative difference of a loss. */
function apart({ found: { results } }) {
  const same = ["qwen-pt, LoRA, float32", SHORT].filter((name) => results[name] !== undefined);
  const ours = Object.keys(results).filter((name) => /^qwen-pt(?!.*pure_bf16)/.test(name));
  const names = same.length > 0 ? same : ours;
  return Math.max(...names.map((name) => results[name].lossDifference));
}

const worst = (found, field) =>
  `${Math.ceil(100 * Math.max(...found.map((one) => Math.abs(one[field] - 1))))} %`;

/** @param kept kind of processor -> section -> what was measured */
export function claims(kept) {
  const kinds = Object.entries(kept).filter(([, { peers }]) => peers !== undefined);
  const row = (name, by, section, say) => {
    const cells = kinds.map(([, sections]) => (sections[section] ? say(sections[section]) : ""));
    return cells.some((cell) => cell !== "") ? [[name, ...cells, by]] : [];
  };
  const speed = (one) => `${number(one.seconds, 1)} s, ${mb(one.peakBytes)}`;
  return markdown(
    ["", ...kinds.map(([name]) => name), "by"],
    [
      ...row(
        "losses of those steps beside LLaMA-Factory's",
        "the same",
        "peers",
        (peers) => `${apart(peers).toExponential(1)} apart at most, relatively`,
      ),
      ...row(
        "from launch to the first forward pass, tokens cached",
        "the same",
        "peers",
        ({ found: { startUp } }) =>
          `${number(startUp["qwen-pt"], 1)} s; LLaMA-Factory ${number(startUp.llamafactory, 1)} s`,
      ),
      ...row(
        "251,248 poems, from file to packed blocks",
        "`npm run bench -- data`",
        "data",
        ({ found: { sideBySide: found } }) =>
          `${speed(found.qwenPt)}; LLaMA-Factory ${speed(found.llamafactory)}${found.sameBlocks ? ", the same blocks" : ""}`,
      ),
      ...row(
        "`qwen-pt estimate` beside what is measured",
        "`npm run bench -- estimate`",
        "estimate",
        ({ found: { found } }) =>
          `memory within ${worst(found, "memoryRatio")}, time within ${worst(found, "timeRatio")}`,
      ),
    ],
  );
}

/** The losses alone, in Chinese. */
export const lossesInChinese = (peers) =>
  `这几步的损失与 LLaMA-Factory 相对相差不超过 ${Math.max(...Object.values(peers).map(apart)).toExponential(1)}。`;
