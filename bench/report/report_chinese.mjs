// What the bench's tables say, in Chinese: the parts of docs/zh/performance.md. Words alone; figures and names of programs
// stay, and a phrase that has no line here stays as it is.

/** Whole cells of tables. */
const CELLS = {
  ratio: "比值",
  "peak memory": "峰值内存",
  "losses apart": "损失之差",
  share: "份额",
  relatively: "相对",
  "forward / float32": "前向 / float32",
  "gradient / float32": "梯度 / float32",
  "error added / bf16's own": "增加的误差 / bf16 自身的",
  "gradient's": "梯度的",
  "`int16`, a weight of": "`int16`，权重",
  "`packed`, a weight of": "`packed`，权重",
  "`panels`, a weight of": "`panels`，权重",
  "`native`, a weight of": "`native`，权重",
  "tokens/s, threads that wait by": "词元/秒，线程的等待方式",
  "left alone": "独占机器",
  "one core taken": "一个核心被占用",
  "qwen-pt's default": "本包的默认",
  "OpenMP's default": "OpenMP 的默认",
  refuses: "拒绝",
  measured: "实测",
  steps: "步数",
  processor: "处理器",
  blocks: "块",
  streamed: "流式",
  "plain PyTorch + PEFT loop": "手写的 PyTorch + PEFT 循环",
  "plain PyTorch + PEFT loop, float32": "手写的 PyTorch + PEFT 循环，float32",
  "seed, 200 steps": "随机种子，200 步",
  base: "基座",
  "perplexity before": "训练前困惑度",
  "after, three seeds": "训练后，三个种子",
  "the adapters over the original weights": "适配器在原始权重上",
  "s before and after the steps": "步前步后的秒数",
  losses: "损失",
  "read from the 16-bit file as": "由 16 位文件读成",
  "bfloat16, 16-bit LoRA": "bfloat16，16 位 LoRA",
  "NF4, double quantization": "NF4，双重量化",
  "FP4, single": "FP4，单重量化",
  "16 bits": "16 位",
  "8 bits (LLM.int8)": "8 位（LLM.int8）",
  "int8 products": "int8 乘法",
  "a micro-step of 1,024 tokens, LoRA, nothing computed twice": "LoRA 的一个微步，1,024 个词元，不做重计算",
  "matrix products at their measured rates": "矩阵乘法，按实测速率",
  "attention alone": "仅注意力",
  "everything else: norms, rotations, SwiGLU, LoRA's own products, loss, calls":
    "其余：归一化、旋转位置编码、SwiGLU、LoRA 自己的乘法、损失、调用",
  "attention, forward and backward, tokens": "注意力，前向与反向，词元数",
  "operators of ATen alone, keeping all": "只用 ATen 的算子，全部保留",
  "+ head and loss as one, gradients made in the forward pass": "+ 输出层与损失合一，前向时就算出梯度",
  "+ RMSNorm, and norm with RoPE": "+ RMSNorm，以及与 RoPE 合一的归一化",
  "+ SwiGLU": "+ SwiGLU",
  "+ LoRA layers as one node, q/k/v and gate/up together": "+ LoRA 层合为一个节点，q/k/v 与 gate/up 一起算",
  "+ causal attention": "+ 因果注意力",
  "eight documents packed apart": "八篇文档打包并互相屏蔽",
  "selective checkpointing": "选择性检查点",
  "checkpointing of whole layers": "整层检查点",
  "tokens (layers)": "词元数（层数）",
  "peak (resident)": "峰值（常驻）",
  "libtorch's": "libtorch",
  "launch to exit": "从启动到退出",
  "file to blocks": "从文件到块",
  "second launch": "第二次启动",
  corpus: "语料",
  "251,248 poems": "251,248 首诗",
  "the embedded model, from": "随包的小模型，数据来自",
  "waiting for data": "等待数据",
  "a step, second quarter": "每步，第二个四分之一",
  "memory, second quarter": "内存，第二个四分之一",
  "last quarter": "最后四分之一",
  "a step of 2 x 1,024 tokens": "一步，2 x 1,024 个词元",
  "memory said": "预估内存",
  "time said": "预估时间",
  time: "时间",
  ours: "本包",
  "LoRA, keeping all": "LoRA，全部保留",
  "LoRA, selective": "LoRA，选择性",
  "LoRA, whole blocks again": "LoRA，整块重算",
  "full, whole blocks again": "全参数，整块重算",
  "qwen-pt, LoRA, checkpointing": "qwen-pt，LoRA，整层检查点",
  "qwen-pt, LoRA, selective": "qwen-pt，LoRA，选择性检查点",
  "qwen-pt, full": "qwen-pt，全参数",
  "qwen-pt, full, checkpointing": "qwen-pt，全参数，整层检查点",
  "qwen-pt, full, pure_bf16": "qwen-pt，全参数，pure_bf16",
  "LLaMA-Factory, full": "LLaMA-Factory，全参数",
};

/** Phrases anywhere, where a cell begins with the processor or a line is a sentence. */
const PHRASES = [
  [/^- \*\*(.+?)\*\*: (.*), measured on ([\d-]+), version (\w+)\./gm, "- **$1**：$2，测于 $3，版本 $4。"],
  [/ But (.+?: version .+?)\.$/gm, "但 $1。"],
  [
    /(\w+): version (\w+)(?: of ([\d-]+))?/g,
    (_, section, version, day) => `${section} 一节的版本为 ${version}${day ? `（${day}）` : ""}`,
  ],
  [/^Not measured yet: (.+)\.$/gm, "尚未测量：$1。"],
  [
    /^(\w+): from launch to the first forward pass of a recipe that was run before, tokens cached: (.+?) against (.+?) \((.+?) times sooner\)\. `version`: (.+?) against (.+?)\.$/gm,
    "$1：运行过一次、词元已有缓存的配方，从启动到第一次前向计算，LLaMA-Factory $2，本包 $3（快 $4 倍）。`version` 命令：$5 与 $6。",
  ],
  [
    /^(\w+): GFLOP\/s of bfloat16 products, forward and the input's gradient together: (.+?)\. \(Products \+ attention\) \/ step: (.+?)\.$/gm,
    "$1：bfloat16 乘法（前向与输入的梯度合计）的 GFLOP/s：$2。（乘法 + 注意力）/ 一步：$3。",
  ],
  [
    /^(\w+): (.+?) times as fast \((.+?) from launch to exit\) at (.+?) of the memory; the blocks are the same, byte for byte\.$/gm,
    "$1：快 $2 倍（从启动到退出快 $3 倍），内存为 $4 倍；得到的块逐字节相同。",
  ],
  [
    /^(\w+): the median over (\d+) operators of our time over Python's, on tensors so small that the call is what takes time: (.+?) where a gradient is recorded, (.+?) where none is \((.+?)\)\.$/gm,
    "$1：$2 个算子的耗时与 Python 之比的中位数，张量小到只剩调用开销：记录梯度时 $3，不记录时 $4（$5）。",
  ],
  [
    /^(\w+): (`\w+`) over the whole model: \*\*(.+?)\*\* times the rate of float32\. It adds at most (.+?) of bf16's own error \((.+?)\), (.+?) where some channels are 30 times larger than the others\.$/gm,
    "$1：$2 在整个模型上为 float32 速率的 **$3** 倍。它增加的误差最多为 bf16 自身误差（$5）的 $4 倍，部分通道比其余大 30 倍时为 $6 倍。",
  ],
  [
    /^(\w+): with one core taken, (.+?) times OpenMP's default\.$/gm,
    "$1：一个核心被占用时，速度为 OpenMP 默认设置的 $2 倍。",
  ],
  [/(\d) M tokens/g, "$1 M 词元"],
  [/(\d) to (\d)/g, "$1 至 $2"],
];

/** A cell; "AVX2: tokens/s" is the processor and a cell. */
function cell(text) {
  const said = text.trim();
  const [, processor = "", rest] = /^(\w+: )?(.*)$/.exec(said);
  const words = CELLS[rest] ?? (rest === "tokens/s" ? "词元/秒" : rest);
  return ` ${processor.replace(": ", "：")}${words} `;
}

/** A rendered part of the report with its words in Chinese. */
export function inChinese(text) {
  const lines = text
    .split("\n")
    .map((line) => (/^\|(?!-)/.test(line) ? `|${line.slice(1, -1).split("|").map(cell).join("|")}|` : line));
  return PHRASES.reduce((said, [from, to]) => said.replace(from, to), lines.join("\n"));
}
