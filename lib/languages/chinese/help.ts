// Chinese: what `qwen-pt help COMMAND` prints. The same commands, options and examples as in English.
import type { HELP_ENGLISH } from "../english/help.js";

export const HELP_CHINESE: Readonly<Record<keyof typeof HELP_ENGLISH, string>> = {
  init: `qwen-pt init [RECIPE] [--model M] [--data PATH] [--method lora|freeze|full] [--output DIR] [--yes] [--force]

回答四个问题（用哪个模型、哪些数据、哪种方法、写到哪里），写出一份带注释的配方（recipe.yaml）。数据是 .jsonl、.json、.txt、.md、
.csv 或 .parquet 文件，或文件夹；旁边的 dataset_info.json 会随之写好或补充。

  --column  正文所在的列，看不出来时用
  --yes     什么都不问：用选项给出的，其余取默认值
  --force   覆盖已有的配方

  qwen-pt init
  qwen-pt init mine.yaml --yes --model Qwen/Qwen3-0.6B --data essays.jsonl`,
  train: `qwen-pt train RECIPE [KEY=VALUE ...] [--json]

按 YAML 或 JSON 配方训练，与 LLaMA-Factory 的 \`stage: pt\` 相同。写在文件后面的值覆盖文件里的。
Ctrl-C 保存最后完成的一步的检查点并退出（130）；第二次 Ctrl-C 立即退出。
--json 把训练的每个事件打印成一行 JSON，给人看的内容写到标准错误。

  qwen-pt train recipe.yaml
  qwen-pt train recipe.yaml learning_rate=5e-5 output_dir=saves/second`,
  estimate: `qwen-pt estimate RECIPE [KEY=VALUE ...] [--json]

按配方在处理器上训练时，gradient_checkpointing 的每种取值各占多少内存（峰值），机器或容器剩余的内存是否放得下，一步和全程需要
多久。内存由模型的 config.json 推算；时间则取模型形状的一个块训练几秒得出。不读取任何权重。没有写 max_steps 时，步数由数据的大小
估计。配方另加的东西（词条、第二个模型等）不计在内。

  qwen-pt estimate recipe.yaml
  qwen-pt estimate recipe.yaml finetuning_type=full cutoff_len=2048 --json`,
  export: `qwen-pt export RECIPE [KEY=VALUE ...]

把 adapter_name_or_path 合并进 model_name_or_path，完整的模型保存到 export_dir。

  qwen-pt export merge.yaml export_dir=models/merged`,
  chat: `qwen-pt chat RECIPE [KEY=VALUE ...] [--prompt TEXT]
qwen-pt chat --model NAME_OR_DIR [--adapter NAME_OR_DIR] [--prompt TEXT]

逐个词元地续写一段文本。没有 --prompt 时，标准输入的每一行是一段。
增量预训练的模型只会续写，不套用对话模板。

  qwen-pt chat --model Qwen/Qwen3-0.6B --adapter saves/Qwen/lora/pretrain --prompt "庆历四年春"
  qwen-pt chat recipe.yaml max_new_tokens=64 do_sample=false < prompts.txt`,
  eval: `qwen-pt eval --model DIR [--adapter DIR] [--before DIR] --data NAME[,NAME ...] [--json]

留出文本的困惑度、每字比特数和下一词准确率，一个领域一行。给了 --adapter（或用 --before 给了另一个模型）时，还有之前的分数：
训练学到了什么，忘掉了什么。每篇文档单独打分，从文本结束词元之后开始，包括它的结尾；语言标签只读入，不计分。

  --data         dataset_info.json 里的名字，每行 {"text": ...} 的 .json 和 .jsonl 文件，或 .md 文件
  --dataset-dir  dataset_info.json 所在的目录 [data]
  --length       模型一次看到的词元数；更长的文档用互相重叠的窗口读取 [1024]
  --documents    每个数据集只给这么多篇打分
  --output FILE  数字另存为 JSON

  qwen-pt eval --model examples/model --adapter saves/demo --dataset-dir examples/data --data prose_heldout,poetry_heldout`,
  download: `qwen-pt download NAME ... [--revision REV] [--cache-dir DIR] [--adapter NAME]

从 Hugging Face（设了 USE_MODELSCOPE_HUB=1 则从 ModelScope）下载模型（配置、分词器、safetensors），并打印所在目录。train、export 和
chat 会自己下载；这个命令用于之后没有网络的机器。中断后从断点继续。缓存与 hub 的 Python 客户端共用：docs/zh/hub.md。

  qwen-pt download Qwen/Qwen3-0.6B
  HF_ENDPOINT=https://hf-mirror.com qwen-pt download Qwen/Qwen3-0.6B`,
  corpora:
    "qwen-pt corpora [FOLDER] [--json]\n\n列出 examples/data/dataset_info.json 认识的常用预训练语料，或 FOLDER 里 dataset_info.json 描述的语料：" +
    "名字、大小、许可证、出处。",
  setup: `qwen-pt setup [--build auto|cpu|cuda|cu126|cu130|cu132] [--plan] [--force]

让安装好的包可以使用：取 LIBTORCH、以前 setup 下载的或当前 Python 的 torch，否则由 pip（按它配置的源）下载到缓存，再针对它编译插件。
开始之前会说明什么从哪里来、有多大；中断的 setup 会从停下的地方继续。

  --build   用哪个 libtorch：auto（默认）取 NVIDIA 驱动和显卡能运行的版本，或 CPU 版
  --plan    只说明会做什么，不做
  --force   即使没有变化也重新编译

缓存是 QWEN_PT_CACHE，或 XDG_CACHE_HOME（~/.cache）、~/Library/Caches、%LOCALAPPDATA% 下的 qwen-pt。
LIBTORCH_USE_PYTORCH=0 忽略当前 Python 的 torch。在克隆的仓库里，\`npm run build\` 做同样的事。`,
  doctor: `qwen-pt doctor [--json]
qwen-pt doctor --gpu [--device cuda:0|cpu] [--output DIR] [--quick] [--json]

检查安装有什么问题：Node、编译器、CMake、Python、libtorch 和插件，NVIDIA 的驱动和显卡，处理器、内存、磁盘、容器、系统。每项一行：
正常、警告或问题，并说明怎么办。有问题时退出码为 1。

--gpu 把显卡上的算子、一个极小的模型和训练与处理器对照，按 Qwen3-0.6B 的形状给主要算子计时，写出 qwen-pt-gpu-report.md 和
.json；其中没有用户、主机和目录的名字，可以分享。

  --device  检验哪个设备；cpu 用来试一试检验本身
  --output  报告写到哪里 [.]
  --quick   小形状，四步`,
  completion: `qwen-pt completion bash|zsh|fish

打印一个脚本，用来补全命令、选项、配方的键以及键的取值。

  echo 'source <(qwen-pt completion bash)' >> ~/.bashrc
  qwen-pt completion zsh > "\${fpath[1]}/_qwen-pt"
  qwen-pt completion fish > ~/.config/fish/completions/qwen-pt.fish`,
  env: "qwen-pt env [--json]\n\n打印版本和硬件，反馈问题时请附上。",
  version: "qwen-pt version [--json]\n\n打印版本。",
  help: "qwen-pt help [COMMAND | KEY | WORD]\n\n说明一个命令，或配方的一个键：qwen-pt help cutoff_len\n对其他的词，列出与它有关的键：qwen-pt help lora\n任何命令之后都可以加 --lang zh 或 --lang en，优先于 LC_ALL 和 LANG；报错始终是英文。",
};
