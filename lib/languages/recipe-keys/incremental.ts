// What the keys of a recipe mean, in Chinese: those for incremental pre-training, which LLaMA-Factory does not have.

export const INCREMENTAL: Readonly<Record<string, string>> = {
  eval_domains:
    "留出文本的数据集，一个名字一个领域，在第一步之前和最后一步之后打分：困惑度、每字比特数、下一词准确率，以表格打印并写入 domain_results.json。",
  extend_vocab: "从分词器切得太碎的语料里学出这么多新词条，并训练它们的行。",
  extend_vocab_dataset: "extend_vocab 从 dataset_info.json 里的哪些数据集学习。",
  extend_vocab_min_count: "两个词元至少相邻这么多次，extend_vocab 才合并它们。",
  extend_vocab_init: "新词条和语言标签的行的初值：它们所替代的各片段的平均值，或所有行的平均值加噪声。",
  embedding_learning_rate: "词嵌入和输出层中被训练的行的学习率，调度方式与其余相同。",
  language_tag:
    "加在每篇文档前面的标签，例如 zh-yue 表示 [lang=zh-yue]：所有数据集共用一个，或 {数据集: 标签}；优先于 dataset_info.json 里的 language_tag。",
  add_language_tags: "每个语言标签成为一个词元，有自己的词嵌入行；否则它只是普通文本。",
  time_decay_half_life:
    "按年龄抽取文档：每老这么久，被抽到的可能减半，权重为 exp(-ln 2 x 年龄 / 半衰期)；y 为 365.25 天，m 为它的十二分之一。文档只抽一次，由 seed 决定，在 val_size 之后、打包之前；不影响 replay_dataset。训练前会显示各年份的期望篇数。",
  time_decay_column:
    "文档日期所在的列，所有数据集共用一个，或 {数据集: 列}：ISO 日期、年份（1080、-300）、1970 年以来的秒或毫秒。",
  time_decay_reference: "从哪一天起计算年龄；更晚的文档视为那一天的。",
  time_decay_floor: "文档再老也不低于的权重；新文档为 1。",
  time_decay_replacement: "有放回地抽取，新文档因此会出现多次；false 表示每篇至多抽一次。",
  time_decay_samples: "抽取的文档篇数。",
  merge_micro_batches:
    "把一个优化器步的各个微批当作一个批来算，内存允许多少就合并多少：次数更少、每次更大，用于小批喂不饱的设备。损失和梯度除求和顺序外相同；dropout 和 NEFTune 的噪声抽到的数不同。",
  cuda_graphs:
    "在 CUDA 设备上，把每种形状的一个微步录成一张图，之后整张重放：用于小批，那时核算得比启动还快。需要 `node scripts/cuda-graph.mjs` 编译的库；不能用图的训练会用一行说明原因，然后照常训练。",
  layer_offload:
    "训练适配器时，冻结的权重留在模型的文件里：前一块计算时由系统读入下一块的权重，算完即放开。慢多少取决于磁盘跟不上多少，内存只占几块；数值逐比特相同（docs/zh/quantization.md）。",
  quantization_compute:
    "冻结的线性层用 8 位整数相乘，前向和梯度都是，旁边训练适配器：权重只舍入一次，激活和梯度逐个词元舍入。在有 AVX2 的处理器上比 16 位快，权重内存减半，精度较低（docs/zh/quantization.md）。",
  curriculum_by:
    "课程学习：各数据集内先易后难。按长度（词元数）或按一列数字时，在打包之前给文档排序；按 loss 时，按模型训练前自己的损失给块排序（对数据做一次前向计算）。每一步从 curriculum_pacing 允许的最容易的份额里抽块，可用的块都用过一次才会重复；写了 disable_shuffling 则按顺序来。replay_dataset 不排序。",
  curriculum_pacing:
    "可用份额 c 怎样随步数 t 增长：min(1, (t (1 - c0^p) / T + c0^p)^(1/p))，p 为 2 或 1（Platanios 等，2019）。",
  curriculum_start: "c0，第一步可用的数据份额，至少一块。",
  curriculum_duration: "T，占总步数的份额：此后全部数据可用。",
  replay_dataset: "重放：模型原来就会的数据集，按 replay_ratio 掺入以防遗忘；一轮仍把新数据读一遍。",
  replay_ratio: "全部词元中来自 replay_dataset 的份额，任何时刻误差不超过一块；常用 0.05 到 0.10。",
  mix_by:
    "documents：数据集在打包之前按 mix_strategy 混合。tokens：各自打包，各得其词元份额（mix_weights 或 mix_temperature，否则按大小），任何时刻误差不超过一块；一轮的块数等于所有数据集之和，用完的数据集换一个顺序重新开始。",
  mix_weights:
    "mix_by: tokens 时，各数据集的词元份额，写成权重：{prose: 3, poetry: 1}，或按 dataset 的顺序写 3,1。",
  mix_temperature: "mix_by: tokens 时，份额与 大小^(1/温度) 成正比：1 保持自然份额，越大越平均。",
  curriculum:
    "训练的各个阶段，每个阶段有自己的词元配比：[{until: 0.3, mix: {prose: 1}}, {until: 1, mix: {prose: 1, poetry: 1}}]；until 是该阶段结束时占总步数的份额。",
  log_loss_by_source:
    "除损失之外，还记录各数据集的平均损失（loss_NAME）和到目前为止的词元份额（share_NAME）；各数据集于是分别打包，一个微步的块来自同一个数据集。",
  ewc_lambda:
    "弹性权重巩固：损失加上 lambda/2 * sum F (w - w0)^2，保住通用语料所需的权重；F 是每词元的 Fisher 信息，因此 1 表示漂移（每词元以奈特计的散度，二阶近似）与损失同等看待。记为 ewc_loss。",
  ewc_dataset:
    "代表不应忘掉的内容的数据集（dataset_info.json 里的名字）：ewc_lambda 的 Fisher 信息在它们上面估计。已有算好的 ewc_fisher 时不需要。",
  ewc_samples: "用多少块（不打包时为文档）估计 Fisher 信息，在 ewc_dataset 上均匀选取。",
  ewc_fisher:
    "Fisher 信息的文件，每个被训练的权重一个 float32：存在且与模型和这些键相符就使用，否则估计后写出。",
  distill_weight:
    "从基座模型蒸馏：在训练文本的每个预测词元上，用 (1 - w) * 交叉熵 + w * T^2 KL(基座模型 || 模型) 训练。记录的损失仍是交叉熵，散度记为 distill_loss。",
  distill_temperature:
    "distill_weight 的 T：两个模型的 logits 先除以它再比较；大于 1 时，不太可能的词元分量更重。",
  forgetting_report:
    "在第一步之前和最后一步之后，给通用文本和 eval_dataset 打分：forgetting_report.txt、.json 和 .png，含困惑度、每字比特数和准确率。",
  forgetting_dataset:
    "forgetting_report 里代表不应忘掉的内容的数据集（dataset_info.json 里的名字）；用留出文本比用重放的文本更说明问题。",
  forgetting_samples: "forgetting_report 读取每个数据集最前面的这么多篇文档。",
};
