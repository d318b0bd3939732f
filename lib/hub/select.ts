// Which files of a repository are needed: of a model config, tokenizer and safetensors; of an adapter its two files.
import { UserError } from "../errors.js";
import { jsonOf } from "../files/json-file.js";
import { isSafePath } from "../files/outside-path.js";
import { object, shape, table } from "../files/shape.js";
import type { RemoteFile } from "./huggingface.js";

/** Chooses among a repository's files. */
export interface Selection {
  /**
   * The paths that are needed. `read` gives a file's text, fetched first where it must be.
   * @throws UserError where the repository cannot be what is wanted
   */
  choose(files: readonly RemoteFile[], read: (path: string) => Promise<string>): Promise<string[]>;
}

const TOKENIZER = [
  "tokenizer.json",
  "tokenizer_config.json",
  "vocab.json",
  "merges.txt",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
];
const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";

/** A model: its configuration and tokenizer, and its weights unless `weights` is false. */
export function modelFiles(id: string, { weights = true } = {}): Selection {
  return {
    async choose(files, read) {
      const has = new Set(files.map(({ path }) => path));
      if (!has.has("config.json")) throw noModel(id, has);
      const small = ["config.json", "generation_config.json", ...TOKENIZER].filter((name) => has.has(name));
      if (!weights) return small;
      if (has.has(SINGLE)) return [...small, SINGLE];
      if (has.has(INDEX)) return [...small, INDEX, ...shardsOf(id, await read(INDEX))];
      throw new UserError(
        `${id}: has no ${SINGLE} and no ${INDEX}; name a repository with weights in safetensors, or re-save it as safetensors with transformers`,
      );
    },
  };
}

function noModel(id: string, has: ReadonlySet<string>): UserError {
  const names = [...has];
  if (names.some((name) => name.endsWith(".gguf"))) {
    return new UserError(
      `${id}: holds GGUF files, which cannot be trained; name the original model, such as ${id.replace(/-GGUF$/i, "")}`,
    );
  }
  if (has.has("adapter_config.json")) {
    return new UserError(
      `${id}: is an adapter, not a model; name its base model in model_name_or_path, and this one in adapter_name_or_path`,
    );
  }
  return new UserError(`${id}: has no config.json and so is no model; correct model_name_or_path`);
}

const INDEX_SHAPE = object({ weight_map: table(shape<string>("a file's name", isSafePath)) });

/** The shards that an index names, each once. */
function shardsOf(id: string, text: string): string[] {
  const remedy = "the repository is damaged";
  const names = [
    ...new Set(Object.values(jsonOf(text, `${id}: ${INDEX}`, INDEX_SHAPE, { remedy }).weight_map)),
  ];
  if (names.length === 0) throw new UserError(`${id}: ${INDEX}: weight_map names no files; ${remedy}`);
  return names;
}

/** An adapter of PEFT's. */
export function adapterFiles(id: string): Selection {
  return {
    async choose(files) {
      const has = new Set(files.map(({ path }) => path));
      const names = ["adapter_config.json", "adapter_model.safetensors"];
      const missing = names.find((name) => !has.has(name));
      if (missing === undefined) return names;
      const pickled = has.has("adapter_model.bin")
        ? "adapter_model.bin is a pickle and is not read: save it again with PEFT"
        : "correct adapter_name_or_path";
      throw new UserError(`${id}: has no ${missing}; ${pickled}`);
    },
  };
}
