// `~` in a recipe's paths: the home folder, as a shell and transformers' TrainingArguments have it. Which keys are paths
// is said here; a hub's name never begins with ~.
import { homedir } from "node:os";
import path from "node:path";

const PATHS: ReadonlySet<string> = new Set([
  "adapter_name_or_path",
  "cache_dir",
  "dataset_dir",
  "ewc_fisher",
  "export_dir",
  "logging_dir",
  "media_dir",
  "model_name_or_path",
  "new_special_tokens_config",
  "output_dir",
  "resume_from_checkpoint",
  "tokenized_path",
]);

/** A key's value with the home folder in place of `~`; of a list, in each. */
export function atHome(name: string, value: unknown, env: NodeJS.ProcessEnv): unknown {
  if (!PATHS.has(name)) return value;
  if (Array.isArray(value)) return value.map((one) => atHome(name, one, env));
  if (typeof value !== "string" || !/^~(?=$|[/\\])/.test(value)) return value;
  return path.join(env["HOME"] || homedir(), value.slice(1));
}
