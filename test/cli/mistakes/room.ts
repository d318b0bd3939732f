// The working folder in which a mistake is made, and what a mistake is. Not a test.
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const FIXTURES = fileURLToPath(new URL("../../fixtures/train/", import.meta.url));

export type Json = Record<string, unknown>;

/** A working folder with a model, a corpus and a recipe that trains: `model/`, `data/`, `recipe.yaml`. */
export class Room {
  constructor(readonly dir: string) {
    cpSync(path.join(FIXTURES, "model"), this.at("model"), { recursive: true });
    cpSync(path.join(FIXTURES, "data"), this.at("data"), { recursive: true });
    this.keys({});
  }

  at(name: string): string {
    return path.join(this.dir, name);
  }

  write(name: string, content: string | Uint8Array): void {
    mkdirSync(path.dirname(this.at(name)), { recursive: true });
    writeFileSync(this.at(name), content);
  }

  remove(name: string): void {
    rmSync(this.at(name), { recursive: true });
  }

  /** Lays keys over a JSON object's file; undefined removes one. */
  json(name: string, keys: Json): void {
    const old = existsSync(this.at(name)) ? (JSON.parse(readFileSync(this.at(name), "utf8")) as Json) : {};
    this.write(name, JSON.stringify({ ...old, ...keys }, null, 2));
  }

  /** The recipe with other keys; undefined leaves one out. */
  keys(keys: Json): void {
    const all: Json = { ...RECIPE, ...keys };
    const lines = Object.entries(all).filter(([, value]) => value !== undefined);
    this.write("recipe.yaml", lines.map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`).join(""));
  }

  /** The corpus, as the bytes of one.jsonl. */
  corpus(content: string | Uint8Array): void {
    this.write("data/one.jsonl", content);
  }

  /** Takes a safetensors file apart and puts it together again, header and bytes as `change` leaves them. */
  tensors(
    name: string,
    change: (header: Json, bytes: Buffer) => { header?: Json; bytes?: Buffer; length?: number },
  ): void {
    const file = readFileSync(this.at(name));
    const size = Number(file.readBigUInt64LE(0));
    const header = JSON.parse(file.subarray(8, 8 + size).toString()) as Json;
    const changed = change(header, file.subarray(8 + size));
    const text = Buffer.from(JSON.stringify(changed.header ?? header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(changed.length ?? text.length));
    this.write(name, Buffer.concat([length, text, changed.bytes ?? file.subarray(8 + size)]));
  }

  /** Every file and folder below, with contents. */
  snapshot(): Map<string, string> {
    const names = readdirSync(this.dir, { recursive: true, encoding: "utf8" }).sort();
    return new Map(
      names.map((name) => {
        const place = this.at(name);
        return [name, statSync(place).isFile() ? readFileSync(place, "base64") : "a folder"];
      }),
    );
  }
}

export const RECIPE: Json = {
  model_name_or_path: "model",
  stage: "pt",
  do_train: true,
  finetuning_type: "lora",
  lora_rank: 4,
  lora_target: "all",
  dataset: "one",
  cutoff_len: 48,
  output_dir: "out",
  max_steps: 2,
  max_samples: 16,
  save_strategy: "no",
  use_cpu: true,
};

/** export and chat take fewer keys. */
export const ASIDE = { stage: undefined, do_train: undefined, dataset: undefined, output_dir: undefined };

export interface Mistake {
  /** What was done wrong; the table's first column. */
  name: string;
  make?: (room: Room) => void;
  keys?: Json;
  /** Arguments; default `train recipe.yaml`. */
  args?: string[];
  env?: NodeJS.ProcessEnv;
  /** Shell text before the program: a limit. */
  limit?: string;
  /** A real process, as an ordinary user; otherwise in this one. */
  process?: true;
  line: RegExp;
  /** What the failed command may leave or change. */
  leaves?: string[];
}
