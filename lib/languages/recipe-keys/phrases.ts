// What stands beside a key in more than one place, in Chinese: types, defaults in words, and why a key is refused or has no
// effect. By the English text, which lib/config has.

const REMOVE = "请删去";
const ONLY_BESIDE = (key: string): string => `只与 ${key} 同用时才读，而它会被拒绝`;

export const REASONS: Readonly<Record<string, string>> = {
  "weights are gathered as they are stored": "权重按存放的样子收集",
  "GaLore and APOLLO are not in this version; remove it": `这个版本没有 GaLore 和 APOLLO，${REMOVE}`,
  "LLaMA-Factory forces it off": "LLaMA-Factory 会强制关闭它",
  "LLaMA-Factory takes it in supervised fine-tuning only; remove it": `LLaMA-Factory 只在监督微调里支持它，${REMOVE}`,
  "LLaMA-Factory takes it in supervised fine-tuning only; remove it (every token is trained on here)": `LLaMA-Factory 只在监督微调里支持它，${REMOVE}（这里每个词元都参与训练）`,
  "Qwen3 has no shifted sparse attention in LLaMA-Factory either; remove it": `LLaMA-Factory 的 Qwen3 也没有移位稀疏注意力，${REMOVE}`,
  "Qwen3 reads text only": "Qwen3 只读文本",
  "Ray is not used": "没有用到 Ray",
  "SIGTERM always saves a checkpoint": "收到 SIGTERM 总会保存检查点",
  "a batch that does not fit stops the run; lower per_device_train_batch_size":
    "放不下的批会中止训练；请调小 per_device_train_batch_size",
  "a loss that is not finite is always reported and its step skipped": "非有限的损失总会报告，那一步跳过",
  "a quantized model is on one device": "量化的模型在一个设备上",
  "a resumed run continues with the next block, so that it equals an uninterrupted run; remove it": `续训从下一块继续，与未中断的训练相同，${REMOVE}`,
  "accelerate is not used; remove it": `没有用到 accelerate，${REMOVE}`,
  "activations stay on the device": "激活留在设备上",
  "an export is not quantized in this version; remove it": `这个版本导出时不量化，${REMOVE}`,
  "blocks are prefetched into memory": "块会预先读进内存",
  "blocks have one length when packed; remove it": `打包后的块长度相同，${REMOVE}`,
  "both kinds of gradient checkpointing give the same gradients": "两种梯度检查点的梯度相同",
  "code in a model's folder is never run": "从不执行模型目录里的代码",
  "evaluation reports only the loss and its perplexity": "评估只报告损失和困惑度",
  "the model is divided block by block": "模型按块分开",
  "freed memory is reused immediately": "释放的内存立即重用",
  "generation always keeps a key-value cache": "生成总会使用键值缓存",
  "gradients are summed once a window, by torchrun's environment or nproc_per_node":
    "梯度每个累积窗口求和一次，由 torchrun 的环境变量或 nproc_per_node 决定",
  "incremental pre-training computes none": "增量预训练不计算它",
  "incremental pre-training does not report it in LLaMA-Factory either":
    "LLaMA-Factory 的增量预训练也不报告它",
  "incremental pre-training predicts nothing in LLaMA-Factory either; remove it": `LLaMA-Factory 的增量预训练也不做预测，${REMOVE}`,
  "it is not in this version; remove it": `这个版本没有它，${REMOVE}`,
  "labels are made from the blocks": "标签由块生成",
  "max_new_tokens decides": "由 max_new_tokens 决定",
  "memory is shown with each step": "每一步都会显示内存",
  "messages are always shown": "信息总会显示",
  "no adapter is put on an embedding: additional_target trains it whole":
    "词嵌入上不加适配器：用 additional_target 整体训练",
  "no buffer of these models changes": "这些模型没有会变化的缓冲区",
  "no copy of the Space is published after training; remove it, or set it to false": `训练后不发布 Space 的副本，${REMOVE}或写成 false`,
  "no model or sequence is divided among processes in this version; remove it": `这个版本不把模型或序列分到多个进程，${REMOVE}`,
  "nothing is offloaded": "没有任何东西会卸载",
  "nothing is uploaded": "不上传任何东西",
  "nothing is uploaded in this version; remove it and upload export_dir yourself": `这个版本不上传，${REMOVE}，自行上传 export_dir`,
  "nothing is uploaded in this version; remove it and upload output_dir yourself": `这个版本不上传，${REMOVE}，自行上传 output_dir`,
  "one process reads the data": "数据由一个进程读取",
  "only dense Qwen3 models are trained here; remove it": `这里只训练稠密的 Qwen3，${REMOVE}`,
  "only read beside export_quantization_bit, which is refused": ONLY_BESIDE("export_quantization_bit"),
  "only read beside use_apollo, which is refused": ONLY_BESIDE("use_apollo"),
  "only read beside use_badam, which is refused": ONLY_BESIDE("use_badam"),
  "only read beside use_galore, which is refused": ONLY_BESIDE("use_galore"),
  "only read beside use_hyper_parallel": "只与 use_hyper_parallel 同用时才读",
  "only read beside use_kt": "只与 use_kt 同用时才读",
  "only read by an inference engine that is not used here": "只有这里不用的推理引擎才读它",
  "only read in a beam search": "只在集束搜索里读它",
  "only read in preference or reward training": "只在偏好训练或奖励模型训练里读它",
  "only read in supervised fine-tuning": "只在监督微调里读它",
  "only read when grouping by length, which is refused": "只在按长度分组时读它，而那会被拒绝",
  "only read when predicting": "只在预测时读它",
  "only read with finetuning_type: oft, which is refused":
    "只与 finetuning_type: oft 同用时才读，而它会被拒绝",
  "padding never counts in the loss of incremental pre-training": "增量预训练的损失从不计入填充",
  "special tokens in the text stay whole in this version; remove it": `这个版本里文本中的特殊词元保持完整，${REMOVE}`,
  "the Modelers hub (USE_OPENMIND_HUB) is refused": "不支持 Modelers（USE_OPENMIND_HUB）",
  "the built-in fused kernels are always used": "总是使用内置的融合核",
  "the counts of trainable and frozen parameters are always printed": "总会打印训练和冻结的参数个数",
  "the fast tokenizer is the only one, with the same result": "只有快速分词器，结果相同",
  "the loss is computed in fp32 in any case": "损失总以 fp32 计算",
  "the progress bar shows on a terminal only, lines are printed elsewhere":
    "进度条只在终端里显示，别处打印成行",
  "there are no TPUs here": "这里没有 TPU",
  "there are no callbacks with a state": "没有带状态的回调",
  "there is no beam search in this version; remove it": `这个版本没有集束搜索，${REMOVE}`,
  "there is no compiler to switch on": "没有可打开的编译器",
  "there is no profiler in this version": "这个版本没有性能分析器",
  "there is nothing to switch on": "没有可打开的东西",
  "there is one process": "只有一个进程",
  "there is only one implementation of gradient checkpointing": "梯度检查点只有一种实现",
  "this optimizer is not in this version; remove it": `这个版本没有这种优化器，${REMOVE}`,
  "tokens a second are always shown": "总会显示每秒词元数",
  "torchrun's environment says it (RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT)":
    "由 torchrun 的环境变量决定（RANK、LOCAL_RANK、MASTER_ADDR、MASTER_PORT）",
  "training keeps no key-value cache": "训练时没有键值缓存",
  "transformers has dropped it, and it changes nothing here": "transformers 已经去掉它，在这里也不起作用",
  "weights are always written as safetensors": "权重总是写成 safetensors",
  "weights are always written as safetensors; remove it": `权重总是写成 safetensors，${REMOVE}`,
  "weights are memory-mapped in any case": "权重总是内存映射的",
  "write optim: adafactor instead": "请改写成 optim: adafactor",
  "write per_device_eval_batch_size": "请写 per_device_eval_batch_size",
  "write per_device_train_batch_size": "请写 per_device_train_batch_size",
  "write the whole path into adapter_name_or_path instead": "请把完整路径写进 adapter_name_or_path",
};

/** Types and defaults as a whole. */
export const WHOLE: Readonly<Record<string, string>> = {
  "true or false": "true 或 false",
  text: "文本",
  "an integer": "整数",
  "a number": "数",
  "any value": "任意值",
  "a mapping": "映射",
  "text or a mapping": "文本或映射",
  "a JSON file's path, or keys and values": "JSON 文件的路径，或键和值",
  "a list, or text separated by commas": "列表，或逗号分隔的文本",
  "words of full_shard, shard_grad_op, no_shard, auto_wrap":
    "full_shard、shard_grad_op、no_shard、auto_wrap 里的词",
  "a list of stages": "阶段的列表",
  "a date": "日期",
  "whole numbers and ranges, such as 0,2-4": "整数和区间，例如 0,2-4",
  "an integer, or a share below 1": "整数，或小于 1 的份额",
  "an integer, or a share below 1; not 0": "整数，或小于 1 的份额；不能是 0",
  "true, false, all, non_padding or no": "true、false、all、non_padding 或 no",
  "true, false or selective": "true、false 或 selective",
  "the path of a checkpoint, true, or null": "检查点的路径、true 或 null",
  "the name of an optimizer": "优化器的名字",
  "numbers separated by commas, or a list of numbers": "逗号分隔的数，或数的列表",
  "none, all, or names of trackers": "none、all，或跟踪器的名字",
  "length, loss or column NAME": "length、loss 或 column 列名",
  "heads by layer, such as 3:0-3;5:1 or a mapping {3: 0-3, 5: 1}":
    "按层写出的头，例如 3:0-3;5:1，或映射 {3: 0-3, 5: 1}",
  "a span such as 180d, 26w, 6m (months) or 2y": "时长，例如 180d、26w、6m（月）或 2y",
  "a mapping from datasets to numbers, or numbers separated by commas": "从数据集到数的映射，或逗号分隔的数",
  none: "无",
  "HF_HUB_CACHE, HF_HOME/hub or ~/.cache/huggingface/hub; MODELSCOPE_CACHE or ~/.cache/modelscope":
    "HF_HUB_CACHE、HF_HOME/hub 或 ~/.cache/huggingface/hub；MODELSCOPE_CACHE 或 ~/.cache/modelscope",
  "HF_TOKEN, or the file of `hf auth login`": "HF_TOKEN，或 `hf auth login` 保存的文件",
  "as many as there are with replacement, else the sum of the weights": "有放回时等于文档数，否则为权重之和",
  "columns.date of dataset_info.json": "dataset_info.json 的 columns.date",
  "ewc_dataset, else replay_dataset": "ewc_dataset，否则 replay_dataset",
  "fisher.safetensors in output_dir": "output_dir 里的 fisher.safetensors",
  "required by export": "export 必填",
  "required by train": "train 必填",
  required: "必填",
  "the newest document's date": "最新文档的日期",
  "the training datasets": "训练数据集",
  "true where a key of this table packs each dataset separately, otherwise false":
    "本表中有键要求各数据集分别打包时为 true，否则为 false",
  "true with extend_vocab, otherwise false": "有 extend_vocab 时为 true，否则为 false",
  "true with forgetting_dataset, otherwise false": "有 forgetting_dataset 时为 true，否则为 false",
  "twice lora_rank": "lora_rank 的两倍",
  "what memory allows; with disable_gradient_checkpointing: true, false":
    "由内存决定；写了 disable_gradient_checkpointing: true 时为 false",
};

const BOUNDS: Readonly<Record<string, string>> = {
  "at least": "不小于",
  above: "大于",
  "at most": "不大于",
  below: "小于",
};

/** A type or a default in Chinese: whole phrases, `one of ...`, and numbers with bounds. Undefined where it is none of them. */
export function phrase(english: string): string | undefined {
  const whole = WHOLE[english];
  if (whole !== undefined) return whole;
  if (english.startsWith("one of ")) return english.replace("one of ", "").split(", ").join("、");
  const [, noun, bounds] = /^(an integer|a number), (.+)$/.exec(english) ?? [];
  if (noun === undefined || bounds === undefined) return undefined;
  const said = bounds.split(" and ").map((bound) => {
    const [, word = "", value] = /^(at least|above|at most|below) (\S+)$/.exec(bound) ?? [];
    return `${BOUNDS[word]} ${value}`;
  });
  return `${WHOLE[noun]}，${said.join("，")}`;
}
