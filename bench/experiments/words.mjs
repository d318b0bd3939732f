// The words of the tables and pictures, in English and Chinese.

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

/** Words of the pictures. */
export const P = {
  bits: { en: "bits per character", zh: "每字比特数" },
  percent: { en: "percent", zh: "百分比" },
  before: { en: "before", zh: "训练前" },
  essays: { en: "essays (new)", zh: "散文（新领域）" },
  poems: { en: "poems (known)", zh: "诗（已会的）" },
  none: { en: "none", zh: "无" },
  rates: {
    en: "Bits per character before and after, by learning rate",
    zh: "训练前后的每字比特数，按学习率",
  },
  curriculum: { en: "Curricula: bits per character after training", zh: "各种课程：训练后的每字比特数" },
  curricula: {
    length: { en: "length", zh: "按长度" },
    loss: { en: "loss", zh: "按损失" },
    "prose first": { en: "prose first", zh: "先散文" },
    "prose last": { en: "prose last", zh: "后散文" },
  },
  freshness: { en: "Held-out poems by year", zh: "各年代的留出诗" },
  noDecay: { en: "no decay", zh: "无衰减" },
  both: { en: "both", zh: "两者" },
  years: { en: "y", zh: " 年" },
  halfLife: { en: "half-life", zh: "半衰期" },
  vocabulary: {
    en: "extend_vocab: held-out essays, in percent of the run without it",
    zh: "extend_vocab：留出散文，相对不扩充词表的百分比",
  },
  tokens: { en: "tokens", zh: "词元数" },
  ownRate: { en: "own rate", zh: "单独学习率" },
  frontier: {
    en: "Gained on essays, lost on poems (down and to the right is better)",
    zh: "散文的收获与诗的损失（越靠右下越好）",
  },
  gained: { en: "gained: bits per character of held-out essays", zh: "收获：留出散文的每字比特数" },
  lost: { en: "lost: bits per character of poems", zh: "损失：诗的每字比特数" },
  families: {
    "LoRA, learning_rate": { en: "LoRA, learning_rate", zh: "LoRA，learning_rate" },
    "replay and ewc": { en: "replay and ewc", zh: "重放加 ewc" },
  },
  resources: {
    en: "Memory and time of a step, in percent of full fine-tuning",
    zh: "每步的内存与时间，相对全参数微调的百分比",
  },
  memory: { en: "memory", zh: "内存" },
  time: { en: "time", zh: "时间" },
  parts: {
    full: { en: "full", zh: "全参数" },
    "lora, layer 3": { en: "lora, layer 3", zh: "lora，第 3 层" },
    "layer 3": { en: "layer 3", zh: "第 3 层" },
    "layer 0": { en: "layer 0", zh: "第 0 层" },
    "2 heads of 3": { en: "2 heads of 3", zh: "第 3 层的 2 个头" },
    norms: { en: "norms", zh: "归一化" },
  },
};
