// Makes cases for the differential run: files and folders as people and programs write them, healthy but for their
// dialects, orders, names and odd values. A case is a seed and a number.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { pick, randomOf } from "../mutate.mjs";
import { readTensors, writeTensors } from "./tensors.mjs";

const fixtures = (...names) => fileURLToPath(new URL(`../../fixtures/${names.join("/")}`, import.meta.url));

const WORDS = ["春眠不覺曉", "a", "the quick fox", "naïve café", "🙂", "tab\there", 'a "quote"', "back\\slash", "line\nbreak", "NaN",
  "null", "12", "1.5", "True", "2020-01-01", "a,b", "a;b", "x|y", " spaced ", "\u2028", "{}", "[1]", "NA", "-", "#", "'", "é\u0301"]; // biome-ignore format: a list to read
const chance = (random, share) => random() < share;

function text(random) {
  const words = Array.from({ length: Math.floor(random() * 4) }, () => pick(random, WORDS));
  return words.join(" ");
}

function rowOf(random, others) {
  const row = {};
  const put = { text: () => (row.text = chance(random, 0.08) ? null : text(random)) };
  for (const [name, make] of others) put[name] = () => (row[name] = make());
  const names = Object.keys(put).sort(() => random() - 0.5);
  for (const name of names) if (name === "text" ? !chance(random, 0.03) : !chance(random, 0.1)) put[name]();
  return row;
}

function otherColumns(random) {
  const kinds = [
    ["id", () => Math.floor(random() * 1e6)],
    [
      "score",
      () =>
        pick(random, [0.5, -1e-7, 1e300, 0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]),
    ],
    ["ok", () => chance(random, 0.5)],
    ["meta", () => ({ a: Math.floor(random() * 9), b: [{ c: text(random) }] })],
    ["tags", () => [text(random), text(random)]],
    ["nothing", () => null],
    ["名", () => text(random)],
    ["text2", () => text(random)],
  ];
  return kinds.filter(() => chance(random, 0.25));
}

/** As Python's json writes it. */
function dump(value, random, indent) {
  const space = indent === undefined && chance(random, 0.5);
  let out = JSON.stringify(
    value,
    (_key, one) => (typeof one === "number" && !Number.isFinite(one) ? `mark ${one}` : one),
    indent,
  );
  out = out.replaceAll(/"mark (-?\w+)"/g, "$1");
  if (chance(random, 0.3))
    out = out.replaceAll(
      /[\u0080-\uffff]/g,
      (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
  return space ? out.replaceAll('":', '": ') : out;
}

function jsonCase(random) {
  const others = otherColumns(random);
  const rows = Array.from({ length: 1 + Math.floor(random() * 6) }, () => rowOf(random, others));
  const newline = pick(random, ["\n", "\n", "\n", "\r\n", "\r"]);
  const form = pick(random, [
    "lines",
    "lines",
    "lines",
    "array",
    "array",
    "pretty",
    "joined",
    "texts",
    "cells",
    "indented",
    "nulls",
    "raw",
  ]);
  const end = chance(random, 0.7) ? newline : "";
  const mark = chance(random, 0.08) ? "\ufeff" : "";
  const blank = chance(random, 0.15) ? newline : "";
  const each = (one) => dump(one, random);
  let body;
  if (form === "array") body = `[${rows.map(each).join(pick(random, [",", ", ", `,${newline}`]))}]`;
  else if (form === "indented")
    body = `[${newline}${rows.map((row) => dump(row, random, 2)).join(`,${newline}`)}${newline}]`;
  else if (form === "pretty") body = rows.map((row) => dump(row, random, pick(random, [1, 4]))).join(newline);
  else if (form === "joined") body = rows.map(each).join(pick(random, ["", " ", "\t"]));
  else if (form === "texts") body = `[${rows.map((row) => each(row.text ?? null)).join(`,${newline}`)}]`;
  else if (form === "cells") body = `[${rows.map((row) => each([row.text ?? null])).join(",")}]`;
  else if (form === "nulls")
    body = rows.map((row) => (chance(random, 0.3) ? "null" : each(row))).join(newline);
  else if (form === "raw")
    body = `[${rows.map((row) => JSON.stringify(row).replaceAll("\\n", "\n").replaceAll("\\t", "\t")).join(",")}]`;
  else body = rows.map(each).join(newline + blank);
  return {
    kind: "rows",
    name: chance(random, 0.5) ? "f.json" : "f.jsonl",
    content: mark + blank + body + end,
  };
}

function csvCase(random) {
  const columns = ["text", ...["id", "score", "note", ""].filter(() => chance(random, 0.35))].sort(
    () => random() - 0.5,
  );
  if (chance(random, 0.06)) columns.push("text");
  const newline = pick(random, ["\n", "\n", "\r\n", "\r"]);
  const always = chance(random, 0.3);
  const cell = (value) => (always || /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const make = {
    id: () => String(Math.floor(random() * 99)),
    score: () => pick(random, ["0.5", "", "NA", "1e5", "nan"]),
  };
  // behind a lone CR pandas reads the header again as a row where the next line begins with a space
  const start = (line) => (newline === "\r" ? line.replace(/^("?) +/, "$1") : line);
  const lines = Array.from({ length: 1 + Math.floor(random() * 6) }, () => {
    const cells = columns.map((name) =>
      cell((make[name] ?? (() => (chance(random, 0.8) ? `a ${text(random)}` : text(random))))()),
    );
    return start(
      cells.slice(0, chance(random, 0.05) ? Math.max(1, cells.length - 1) : cells.length).join(","),
    );
  });
  const isSpaced = chance(random, 0.1);
  const [at, blank] = isSpaced
    ? [Math.floor(random() * lines.length), pick(random, ["", "  ", "\t"])]
    : [0, ""];
  // between lone CRs pandas takes a line of spaces and the comma behind it for one thing
  if (isSpaced && newline !== "\r") lines.splice(at, 0, blank);
  const mark = chance(random, 0.1) ? "\ufeff" : "";
  return {
    kind: "rows",
    name: "f.csv",
    content:
      mark + [columns.map(cell).join(","), ...lines].join(newline) + (chance(random, 0.8) ? newline : ""),
  };
}

function txtCase(random) {
  const lines = Array.from({ length: 1 + Math.floor(random() * 5) }, () => text(random));
  return {
    kind: "rows",
    name: "f.txt",
    content: lines.join(pick(random, ["\n", "\r\n", "\r"])) + (chance(random, 0.6) ? "\n" : ""),
  };
}

const FLAGS = ["lstrip", "rstrip", "single_word", "normalized"];
function token(random, content) {
  if (chance(random, 0.7)) return content;
  return {
    content,
    ...Object.fromEntries(FLAGS.map((flag) => [flag, chance(random, 0.15)])),
    ...(chance(random, 0.5) && { special: true }),
    __type: "AddedToken",
  };
}

function tokenizerCase(random, folder) {
  cpSync(fixtures("data", "tokenizer"), folder, { recursive: true });
  const names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|a|>", "<|b|>", "<tool>", "a", "春"];
  const some = (share) => names.filter(() => chance(random, share)).map((name) => token(random, name));
  const named = (share) => {
    const out = {};
    for (const key of ["eos_token", "pad_token", "unk_token", "bos_token", "image_token", "sep_token"])
      if (chance(random, share))
        out[key] = chance(random, 0.1)
          ? null
          : key === "image_token"
            ? pick(random, names)
            : token(random, pick(random, names));
    return out;
  };
  const config = { ...named(0.3), model_max_length: 4096 };
  if (chance(random, 0.5))
    config.tokenizer_class = pick(random, [
      "Qwen2Tokenizer",
      "Qwen2TokenizerFast",
      "PreTrainedTokenizerFast",
    ]);
  if (chance(random, 0.3)) config.additional_special_tokens = some(0.3);
  if (chance(random, 0.2))
    config.extra_special_tokens = chance(random, 0.5)
      ? some(0.3)
      : { image_token: pick(random, names), audio_token: "<|aud|>" };
  if (chance(random, 0.2)) config.add_prefix_space = chance(random, 0.5);
  if (chance(random, 0.2)) config.add_bos_token = true;
  const json = JSON.parse(readFileSync(path.join(folder, "tokenizer.json"), "utf8"));
  if (chance(random, 0.4))
    config.added_tokens_decoder = Object.fromEntries(json.added_tokens.map(({ id, ...rest }) => [id, rest]));
  if (chance(random, 0.3)) {
    for (const one of json.added_tokens) if (chance(random, 0.5)) one[pick(random, FLAGS)] = true;
    writeFileSync(path.join(folder, "tokenizer.json"), JSON.stringify(json));
  }
  writeFileSync(path.join(folder, "tokenizer_config.json"), JSON.stringify(config));
  writeFileSync(path.join(folder, "config.json"), JSON.stringify({ model_type: "qwen3" }));
  const map = { ...named(0.3), ...(chance(random, 0.3) && { additional_special_tokens: some(0.3) }) };
  if (chance(random, 0.4)) writeFileSync(path.join(folder, "special_tokens_map.json"), JSON.stringify(map));
  const texts = Array.from(
    { length: 4 },
    () =>
      `${text(random)}${pick(random, ["", " "])}${pick(random, names)}${pick(random, ["", " "])}${text(random)}`,
  );
  return { kind: "tokenizer", folder, texts };
}

const LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
const SIZES = {
  q_proj: [64, 32],
  k_proj: [32, 32],
  v_proj: [32, 32],
  o_proj: [32, 64],
  gate_proj: [48, 32],
  up_proj: [48, 32],
  down_proj: [32, 48],
};

/** Numbers of a tensor, the same in every run. */
const values = (random, shape) =>
  Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (random() - 0.5) * 0.4);

function modelCase(random, folder) {
  const base = pick(random, ["tied", "untied"]);
  cpSync(fixtures("model", base), folder, { recursive: true });
  const file = path.join(folder, "model.safetensors");
  const config = JSON.parse(readFileSync(path.join(folder, "config.json"), "utf8"));
  let tensors = readTensors(file);
  const table = tensors.get("model.embed_tokens.weight");
  if (base === "tied" && chance(random, 0.4))
    tensors.set("lm_head.weight", {
      shape: table.shape,
      data: chance(random, 0.5) ? table.data : values(random, table.shape),
    });
  if (base === "untied" && chance(random, 0.2)) config.tie_word_embeddings = true;
  if (chance(random, 0.1))
    tensors.set("model.layers.0.self_attn.rotary_emb.inv_freq", { shape: [8], data: values(random, [8]) });
  if (chance(random, 0.1))
    tensors.set("model.layers.7.mlp.up_proj.weight", { shape: [48, 32], data: values(random, [48, 32]) });
  const rename = pick(random, ["", "", "", "", "drop", "twice"]);
  if (rename === "drop")
    tensors = new Map([...tensors].map(([name, one]) => [name.replace(/^model\./, ""), one]));
  if (rename === "twice") tensors = new Map([...tensors].map(([name, one]) => [`model.${name}`, one]));
  if (chance(random, 0.3)) tensors = new Map([...tensors].reverse());
  if (chance(random, 0.2)) delete config.tie_word_embeddings;
  if (chance(random, 0.2)) delete config.head_dim;
  if (chance(random, 0.2)) {
    config.torch_dtype = config.dtype;
    delete config.dtype;
  }
  if (chance(random, 0.2)) {
    config.rope_theta = config.rope_parameters.rope_theta;
    delete config.rope_parameters;
  }
  writeFileSync(path.join(folder, "config.json"), JSON.stringify(config));
  writeTensors(file, tensors);
  return { kind: "model", folder, base: folder };
}

function adapterCase(random, folder) {
  const base = pick(random, ["tied", "untied"]);
  mkdirSync(folder, { recursive: true });
  const r = pick(random, [1, 2, 4, 8]);
  const targets = LINEARS.filter(() => chance(random, 0.6));
  if (targets.length === 0) targets.push("q_proj");
  const layers = chance(random, 0.2) ? [Math.floor(random() * 2)] : [0, 1];
  const tensors = new Map();
  const place = (layer, name) =>
    `model.layers.${layer}.${LINEARS.indexOf(name) < 4 ? "self_attn" : "mlp"}.${name}`;
  for (const layer of layers)
    for (const name of targets) {
      const [out, width] = SIZES[name];
      tensors.set(`base_model.model.${place(layer, name)}.lora_A.weight`, {
        shape: [r, width],
        data: values(random, [r, width]),
      });
      tensors.set(`base_model.model.${place(layer, name)}.lora_B.weight`, {
        shape: [out, r],
        data: values(random, [out, r]),
      });
    }
  const config = {
    peft_type: "LORA", task_type: pick(random, ["CAUSAL_LM", "CAUSAL_LM", null]), r, lora_alpha: pick(random, [1, 8, 16, 0.5]), bias: "none",
    target_modules: targets, base_model_name_or_path: pick(random, ["x/y", null, ""]), inference_mode: chance(random, 0.5), lora_dropout: pick(random, [0, 0.1]),
  }; // biome-ignore format: a list to read
  if (layers.length === 1) config.layers_to_transform = chance(random, 0.5) ? layers[0] : layers;
  if (chance(random, 0.3)) config.target_modules = [...targets, pick(random, ["query_key_value", "c_attn"])];
  else if (chance(random, 0.2)) config.target_modules = `.*\\.(${targets.join("|")})`;
  if (chance(random, 0.2)) config.use_rslora = true;
  if (chance(random, 0.15)) {
    config.use_dora = true;
    for (const layer of layers)
      for (const name of targets)
        tensors.set(`base_model.model.${place(layer, name)}.lora_magnitude_vector`, {
          shape: [SIZES[name][0]],
          data: values(random, [SIZES[name][0]]).map((one) => 1 + one),
        });
  }
  if (chance(random, 0.25)) {
    const whole = pick(random, [
      ["embed_tokens"],
      ["lm_head"],
      ["embed_tokens", "lm_head"],
      ["norm_of_another"],
    ]);
    config.modules_to_save = whole;
    if (whole.includes("embed_tokens"))
      tensors.set("base_model.model.model.embed_tokens.weight", {
        shape: [96, 32],
        data: values(random, [96, 32]),
      });
    if (whole.includes("lm_head"))
      tensors.set("base_model.model.lm_head.weight", { shape: [96, 32], data: values(random, [96, 32]) });
  }
  if (chance(random, 0.3))
    Object.assign(config, {
      alpha_pattern: {},
      rank_pattern: {},
      loftq_config: {},
      fan_in_fan_out: false,
      a_key_of_tomorrow: null,
      megatron_core: "megatron.core",
    });
  const rename = pick(random, ["", "", "", "", "", "drop", "twice", "default"]);
  const names = {
    drop: (name) => name.replace("base_model.model.", ""),
    twice: (name) => `base_model.model.${name}`,
    default: (name) => name.replace(/(lora_[AB])/, "$1.default"),
    "": (name) => name,
  };
  writeTensors(
    path.join(folder, "adapter_model.safetensors"),
    new Map([...tensors].map(([name, one]) => [names[rename](name), one])),
  );
  writeFileSync(path.join(folder, "adapter_config.json"), JSON.stringify(config));
  return { kind: "adapter", folder, base: fixtures("model", base) };
}

/** What each kind's share of the cases is. */
const MAKERS = [
  ...Array(9).fill(jsonCase),
  ...Array(6).fill(csvCase),
  txtCase,
  ...Array(4).fill(tokenizerCase),
  ...Array(2).fill(modelCase),
  ...Array(4).fill(adapterCase),
];

/** Writes a case below `folder` and says what it is. */
export function makeCase(seed, index, folder) {
  const random = randomOf(seed * 1_000_003 + index);
  const place = path.join(folder, String(index));
  const made = pick(random, MAKERS)(random, place);
  if (made.content === undefined) return { index, ...made };
  mkdirSync(place, { recursive: true });
  const file = path.join(place, made.name);
  writeFileSync(file, made.content);
  return { index, kind: made.kind, file };
}
