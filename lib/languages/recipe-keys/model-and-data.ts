// What the keys of a recipe mean, in Chinese: model, data and method. Beside lib/config/keys, which says it in English; a
// test holds that every key is in one of these tables.

export const MODEL_AND_DATA: Readonly<Record<string, string>> = {
  model_name_or_path:
    "基座模型的目录（config.json、safetensors 权重、分词器），或它在 hub 上的名字，例如 Qwen/Qwen3-0.6B：这时会下载到缓存里。",
  adapter_name_or_path:
    "LoRA 适配器的目录，或它在 hub 上的名字：用来继续训练、合并导出或续写；写了多个（逗号分开）时，除最后一个之外先合并。",
  train_from_scratch: "只取 model_name_or_path 的 config.json 和分词器，权重随机初始化。",
  rope_scaling: "cutoff_len 超过模型的 max_position_embeddings 时，拉伸旋转位置编码。",
  rope_parameters:
    "旋转位置编码的设置，名字与 transformers 相同（rope_type、factor、rope_theta 等），代替 config.json 里的。",
  flash_attn:
    "哪一种注意力：auto、fa2 和 fa3 都是内置的 flash 实现（CPU 上是本包的，GPU 上是 libtorch 的）；sdpa 由 libtorch 自己选择；disabled 把全部分数放在内存里，与 transformers 的 eager 相同。",
  disable_gradient_checkpointing: "等同于 gradient_checkpointing: false。",
  infer_dtype: "export 和 chat 中权重的数据类型；auto 保持检查点的类型。",
  infer_backend: "推理引擎；huggingface 表示内置的引擎。",
  cache_dir: "从 hub 下载的文件放在哪里，目录结构与其 Python 客户端相同。",
  model_revision: "hub 上模型的分支、标签或提交。main 在 ModelScope 上即 master。",
  hf_hub_token: "Hugging Face 的令牌，用于私有和需授权的仓库。不会写进任何文件；用环境变量更好。",
  ms_hub_token: "ModelScope 的令牌，用于私有仓库。不会写进任何文件；用环境变量更好。",
  resize_vocab:
    "把词嵌入扩大到分词器的大小；用 LoRA 时，除非写了 additional_target，词嵌入和输出层整体参与训练。添加词条时自动打开。",
  add_tokens: "加入分词器的普通词条。",
  add_special_tokens: "加入分词器的特殊词条。",
  new_special_tokens_config:
    "一个 YAML 文件，列出要加入的特殊词条，每个带一句描述；代替 add_special_tokens。",
  init_special_tokens: "词嵌入新行的初值：所有行的平均值加噪声，或描述文字各行的平均值，加或不加噪声。",
  upcast_layernorm: "归一化层的权重用 fp32；检查点是 16 位时需要 bf16 或 fp16。",
  quantization_bit:
    "冻结的线性层以这么多位保存，旁边训练适配器（QLoRA）：4，或 8（LLM.int8）。加载时量化，数值与 bitsandbytes 相同，不需要安装它。",
  quantization_method: "quantization_bit 用谁的格式：bnb，即 bitsandbytes。",
  quantization_type: "4 位权重的数据类型。",
  double_quantization: "4 位权重的缩放系数也做量化：每个权重 0.52 字节，而不是 0.56。",
  dataset: "dataset_info.json 里数据集的名字；多个时按此顺序由 mix_strategy 混合。",
  dataset_dir: "dataset_info.json 和它所指文件所在的目录；数据集是 hub 上的名字时写 ONLINE。",
  cutoff_len: "一块的词元数（打包时），或一篇文档的最大词元数（不打包时）。",
  packing: "把文档首尾相接，切成每块 cutoff_len 个词元；明确写出 `true` 时每块少一个词元。",
  max_samples: "每个数据集取最前面的这么多篇文档。",
  preprocessing_batch_size: "一起打包的文档数；每一批会丢弃填不满一块的词元。",
  preprocessing_num_workers: "打包之前把文档分成几份，它会影响切出的块。",
  template: "对话模板的名字；在这里只决定文档之间的分隔符和填充词元。",
  overwrite_cache: "不管词元缓存里有什么，重新切词，并取代缓存。",
  eval_dataset: "用来评估的数据集；多个时与训练数据一样混合。",
  val_size: "留出多少用于评估：份额（小于 1）或文档篇数；与 LLaMA-Factory 一样会打乱文档。",
  eval_on_each_dataset: "eval_dataset 里的数据集分别评估。",
  streaming: "边训练边读取、切词和打包，带一个打乱用的缓冲区，内存有上限；需要 max_steps。",
  buffer_size: "流式读取时，打乱缓冲区里的文档数。",
  mix_strategy:
    "多个数据集怎样混合：依次相接，或交错到第一个用完为止、全部用完为止（短的会重复），或每篇文档恰好一次。",
  interleave_probs: "交错时各数据集的概率，总和为 1；不写则轮流。",
  tokenized_path:
    "保存打包好的块的目录：里面有（包括 LLaMA-Factory 的）就直接使用，不再读其他数据键；没有就存到那里。",
  neat_packing:
    "打包在一起的文档互相屏蔽：位置从头数起，注意力和标签止于文档末尾。块与 packing 相同；LLaMA-Factory 只在监督微调里支持它。",
  stage: "训练的种类；pt 是增量预训练。",
  pure_bf16: "全程用 bf16 训练，被训练的权重没有 fp32 副本。",
  finetuning_type: "训练什么：适配器（lora）、若干层（freeze）或全部权重（full）。",
  lora_rank: "LoRA 矩阵的秩。",
  lora_alpha: "LoRA 的更新按 lora_alpha / lora_rank 缩放；0 表示秩的两倍。",
  lora_dropout: "LoRA 矩阵输入上的 dropout。",
  lora_target: "加适配器的线性层，例如 q_proj,v_proj；all 表示除输出层之外的所有线性层。",
  additional_target: "适配器之外整体参与训练并保存的模块，例如 embed_tokens,lm_head。",
  create_new_adapter: "把 adapter_name_or_path 全部合并进模型，再新建一个适配器，而不是接着训练最后一个。",
  use_rslora: "按 lora_alpha / sqrt(lora_rank) 缩放，使较大的秩也学得一样快。",
  use_dora: "权重分解的 LoRA：被适配权重各行的长度单独训练。",
  pissa_init: "用权重的主奇异向量初始化适配器，并从基座权重里减去它们。",
  pissa_iter: "PiSSA 快速分解的迭代次数；-1 表示精确分解，很慢。",
  pissa_convert: "另外写出 pissa_converted：把 PiSSA 适配器转成秩加倍的普通 LoRA，用于未改动的基座模型。",
  loraplus_lr_ratio: "LoRA+：B 与 A 的学习率之比，例如 16。",
  freeze_trainable_layers: "finetuning_type: freeze 时训练最后多少层；负数表示最前面的若干层。",
  freeze_trainable_modules: "这些层里训练哪些模块，例如 self_attn,mlp；all 表示整层。",
  freeze_extra_modules: "层之外还训练哪些模块，例如 embed_tokens,norm。",
  freeze_trainable_layer_ids:
    "finetuning_type: freeze 时训练这些层（从 0 数起），代替 freeze_trainable_layers。",
  freeze_trainable_heads:
    "finetuning_type: freeze 时训练这些注意力头（从 0 数起）：它们在 q_proj 里的行、o_proj 里的列；某个键值头的查询头全被选中时，还有它在 k_proj 和 v_proj 里的行。这些矩阵的其余部分逐比特不变。",
  freeze_trainable_patterns:
    "finetuning_type: freeze 时训练全名与这些通配符匹配的参数（* 任意文本，? 一个字符），例如 *norm.weight 或 model.layers.3.mlp.*。",
  lora_layers: "只在这些层上加适配器（从 0 数起），即 PEFT 的 layers_to_transform。默认每一层。",
};
