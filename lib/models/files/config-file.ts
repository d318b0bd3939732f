// config.json of a model's folder as an object. What its keys mean is its family's.

import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { messageOf, UserError } from "../../errors.js";
import { parseJson } from "../../files/json.js";

const MODEL_FOLDER = "a folder with a model's config.json, tokenizer.json and model.safetensors";

/**
 * Reads it, with the path that errors name.
 * @throws UserError where folder or file is missing, or no JSON
 */
export function readConfigFile(dir: string): { raw: unknown; file: string } {
  checkFolder(dir);
  const file = join(dir, "config.json");
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw new UserError(
      `${file} ${missing ? "is missing" : `cannot be read (${messageOf(error)})`}; model_name_or_path takes ${MODEL_FOLDER}`,
    );
  }
  return { raw: parseJson(text, file, "correct it, or copy the file again"), file };
}

function checkFolder(dir: string): void {
  const found = statSync(dir, { throwIfNoEntry: false });
  if (found?.isDirectory()) return;
  if (found !== undefined) throw new UserError(`model_name_or_path: ${dir} is a file; name ${MODEL_FOLDER}`);
  throw new UserError(
    `model_name_or_path: there is no folder ${dir}; it takes ${MODEL_FOLDER}, or a hub's name (org/name)`,
  );
}
