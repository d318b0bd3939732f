// What is said around the pages, in English and Chinese: menus, the order of the pages, the search's words.

/** The pages in the order of the menu: its groups by name, each page by path and by name. One list for both languages. */
const PAGES: readonly (readonly [group: readonly [string, string], pages: readonly (readonly [string, string, string])[]])[] = [
  [
    ["Start", "开始"],
    [
      ["getting-started", "Get started", "快速开始"],
      ["walk-through", "Walk-through for beginners", "入门教程"],
      ["from-llamafactory", "Moving over from LLaMA-Factory", "从 LLaMA-Factory 迁移"],
      ["installation", "Installing", "安装"],
      ["troubleshooting", "Errors and remedies", "报错与对策"],
    ],
  ],
  [
    ["Training", "训练"],
    [
      ["incremental-pretraining", "Six reasons, a method for each", "六个理由与方法"],
      ["corpora", "Corpora and file formats", "语料与文件格式"],
      ["hub", "Models and data from a hub", "从 hub 下载"],
      ["quantization", "A base in 4 bits", "4 位量化（QLoRA）"],
      ["distributed", "Several processes", "多进程"],
      ["scaling", "More processes than here", "更多的进程"],
      ["trackers", "Trackers", "跟踪器"],
    ],
  ],
  [
    ["Reference", "参考"],
    [
      ["recipe", "Recipe keys", "配方的键"],
      ["cli", "Command line", "命令行"],
      ["memory", "Memory and lifetime", "内存与生命周期"],
      ["parity", "LLaMA-Factory's numbers", "与 LLaMA-Factory 的数值对照"],
      ["performance", "Speed and memory, measured", "速度与内存实测"],
    ],
  ],
  [
    ["Inside", "内部"],
    [
      ["architecture", "How it works inside", "内部原理"],
      ["extending", "Adding an operator, a model, a method", "添加算子、模型与方法"],
      ["decisions/", "Decisions", "设计决定"],
      ["dependencies", "Dependencies", "依赖"],
    ],
  ],
];

const sidebar = (language: 0 | 1) =>
  PAGES.map(([group, pages]) => ({
    text: group[language],
    items: pages.map(([page, ...names]) => ({ text: names[language], link: `${["/", "/zh/"][language]}${page}` })),
  }));

const nav = (language: 0 | 1) => {
  const base = ["/", "/zh/"][language];
  const [start, recipe] = [
    ["Get started", "快速开始"][language],
    ["Recipe keys", "配方的键"][language],
  ];
  return [
    { text: start, link: `${base}getting-started` },
    { text: recipe, link: `${base}recipe` },
    { text: "API", link: "/api/index.html", target: "_self" },
  ];
};

export const english = {
  label: "English",
  lang: "en",
  description: "Incremental pre-training of Qwen3 in TypeScript",
  themeConfig: { nav: nav(0), sidebar: sidebar(0), outline: [2, 3] as [number, number] },
};

export const chinese = {
  label: "简体中文",
  lang: "zh-CN",
  link: "/zh/",
  description: "用 TypeScript 做 Qwen3 的增量预训练",
  themeConfig: {
    nav: nav(1),
    sidebar: sidebar(1),
    outline: { level: [2, 3] as [number, number], label: "本页内容" },
    docFooter: { prev: "上一页", next: "下一页" },
    returnToTopLabel: "回到顶部",
    sidebarMenuLabel: "目录",
    darkModeSwitchLabel: "主题",
    lightModeSwitchTitle: "切换到浅色",
    darkModeSwitchTitle: "切换到深色",
    langMenuLabel: "切换语言",
  },
  search: {
    translations: {
      button: { buttonText: "搜索", buttonAriaLabel: "搜索" },
      modal: {
        displayDetails: "显示详情",
        resetButtonTitle: "清除",
        backButtonTitle: "关闭",
        noResultsText: "没有结果：",
        footer: { selectText: "打开", navigateText: "移动", closeText: "关闭" },
      },
    },
  },
};
