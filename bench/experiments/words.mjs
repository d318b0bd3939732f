// The words of the tables, in English and Chinese.

export const NOT_RUN = { en: "Not run yet.", zh: "尚未运行。" };

/** Words of the tables. */
export const W = {
  setting: { en: "setting", zh: "设置" },
  before: { en: "before training", zh: "训练前" },
  prose: { en: "essays, bits/char", zh: "散文，比特/字" },
  simplified: { en: "simplified essays, bits/char", zh: "简体散文，比特/字" },
  poems: { en: "poems, bits/char", zh: "诗，比特/字" },
  accuracy: { en: "essays, accuracy", zh: "散文，准确率" },
  seeds: { en: "seeds", zh: "种子数" },
  against: {
    en: "than a plain learning rate with the same gain, poems",
    zh: "与收获相同的普通学习率相比，诗",
  },
  means: { en: "so", zh: "结论" },
  tokens: { en: "held-out essays, tokens", zh: "留出散文，词元数" },
  factor: { en: "shorter by", zh: "缩短到" },
  year: { en: "year", zh: "年代" },
  there: { en: "documents", zh: "文档数" },
  expected: { en: "expected draws", zh: "期望抽取数" },
  drawn: { en: "drawn", zh: "实际抽取" },
  chance: { en: "chance of a larger deviation", zh: "偏差更大的概率" },
  trained: { en: "trained", zh: "训练的参数" },
  asked: { en: "essays' share asked for", zh: "要求的散文份额" },
  share: { en: "drawn", zh: "实际份额" },
  none: { en: "no curriculum", zh: "无课程" },
  memory: { en: "peak memory", zh: "内存峰值" },
  time: { en: "time a step", zh: "每步时间" },
};
export const SO = {
  en: {
    better: "forgets less",
    worse: "forgets more",
    same: "no better than a lower learning rate",
    beyond: "gains less or more than any plain rate here",
    single: "one seed",
    idle: "as without it",
  },
  zh: {
    better: "遗忘更少",
    worse: "遗忘更多",
    same: "不比降低学习率更好",
    beyond: "收获超出此处普通学习率的范围",
    single: "只有一个种子",
    idle: "与不用时相同",
  },
};
