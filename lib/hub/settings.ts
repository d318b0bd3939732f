// What the environment and a recipe say about the hubs: which one, where it answers, where its files are kept, with
// which token. Reads variables and token files; asks no server.
import { existsSync, readFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { UserError } from "../errors.js";

/** Hugging Face, or ModelScope. */
export type HubName = "huggingface" | "modelscope";

/** The keys of a recipe that reach a hub. Any recipe is assignable to it. */
export interface HubKeys {
  /** A branch, tag or commit. Default `main`. */
  readonly model_revision?: string;
  /** The cache's folder; null for the hub's usual one. */
  readonly cache_dir?: string | null;
  /** For private and gated files of Hugging Face; never printed. */
  readonly hf_hub_token?: string | null;
  /** For private files of ModelScope; never printed. */
  readonly ms_hub_token?: string | null;
}

/** One hub, ready to be asked. */
export interface HubSettings {
  readonly hub: HubName;
  /** What messages call it. */
  readonly title: string;
  /** Without a slash at its end. */
  readonly endpoint: string;
  /** The folder that holds the repositories' folders. */
  readonly cacheDir: string;
  readonly token: string | undefined;
  /** The variable that ends downloading, where one is set. */
  readonly offline: string | undefined;
  /** Seconds until a server that says nothing is given up: for a first answer, and inside a file. */
  readonly answerTimeout: number;
  readonly downloadTimeout: number;
  readonly proxies: Proxies;
  /** Copies in place of links, as HF_HUB_DISABLE_SYMLINKS asks. */
  readonly noSymlinks: boolean;
}

/** As curl and Python read them: the lower-case name goes first. */
export interface Proxies {
  readonly http: string;
  readonly https: string;
  readonly none: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Which hub a recipe's names belong to: USE_MODELSCOPE_HUB=1 chooses ModelScope, as in LLaMA-Factory. */
export function chosenHub(env: Environment): HubName {
  const on = (name: string) => ["true", "y", "1"].includes((env[name] ?? "").toLowerCase());
  if (on("USE_MODELSCOPE_HUB")) return "modelscope";
  if (on("USE_OPENMIND_HUB")) {
    throw new UserError(
      "USE_OPENMIND_HUB: the Modelers hub (openMind) is not read here; unset it for Hugging Face, set USE_MODELSCOPE_HUB=1 for ModelScope, or name a local folder",
    );
  }
  return "huggingface";
}

/** The settings of a hub. */
export function hubSettings(hub: HubName, keys: HubKeys = {}, env: Environment = process.env): HubSettings {
  return hub === "modelscope" ? modelscope(keys, env) : huggingFace(keys, env);
}

function huggingFace(keys: HubKeys, env: Environment): HubSettings {
  const home = expanded(env.HF_HOME, env) ?? path.join(cacheHome(env), "huggingface");
  const cache = env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE;
  return {
    hub: "huggingface",
    title: "Hugging Face",
    endpoint: endpointOf("HF_ENDPOINT", env.HF_ENDPOINT || "https://huggingface.co"),
    cacheDir: path.resolve(expanded(keys.cache_dir ?? cache, env) ?? path.join(home, "hub")),
    token: keys.hf_hub_token?.trim() || implicitToken(env, home),
    offline: offlineVariable(env),
    answerTimeout: seconds("HF_HUB_ETAG_TIMEOUT", env, 10),
    downloadTimeout: seconds("HF_HUB_DOWNLOAD_TIMEOUT", env, 10),
    proxies: proxiesOf(env),
    noSymlinks: isTrue(env.HF_HUB_DISABLE_SYMLINKS),
  };
}

function modelscope(keys: HubKeys, env: Environment): HubSettings {
  const domain = env.MODELSCOPE_ENDPOINT || env.MODELSCOPE_DOMAIN || "https://modelscope.cn";
  const cache = expanded(keys.cache_dir ?? env.MODELSCOPE_CACHE, env);
  return {
    hub: "modelscope",
    title: "ModelScope",
    endpoint: endpointOf("MODELSCOPE_ENDPOINT", /^https?:\/\//i.test(domain) ? domain : `https://${domain}`),
    cacheDir: path.resolve(cache ?? path.join(homeOf(env), ".cache", "modelscope")),
    token: keys.ms_hub_token?.trim() || env.MODELSCOPE_API_TOKEN?.trim() || undefined,
    // ModelScope has no variable for this; someone who sets HF's wants no traffic at all
    offline: offlineVariable(env),
    answerTimeout: seconds("HF_HUB_ETAG_TIMEOUT", env, 20),
    downloadTimeout: seconds("HF_HUB_DOWNLOAD_TIMEOUT", env, 20),
    proxies: proxiesOf(env),
    noSymlinks: true,
  };
}

/** The truth values of huggingface_hub's variables. */
function isTrue(value: string | undefined): boolean {
  return ["1", "ON", "YES", "TRUE"].includes((value ?? "").toUpperCase());
}

function offlineVariable(env: Environment): string | undefined {
  return ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].find((name) => isTrue(env[name]));
}

function homeOf(env: Environment): string {
  return env.HOME || os.homedir();
}

function cacheHome(env: Environment): string {
  return env.XDG_CACHE_HOME || path.join(homeOf(env), ".cache");
}

/** `~` and `$NAME` in a path, which a shell leaves alone in a file of variables. */
function expanded(value: string | null | undefined, env: Environment): string | undefined {
  if (value === null || value === undefined || value === "") return undefined;
  const home = value.replace(/^~(?=$|[/\\])/, () => homeOf(env));
  return home.replace(/\$(?:\{(\w+)\}|(\w+))/g, (all, braced, bare) => env[braced ?? bare] ?? all);
}

function endpointOf(variable: string, value: string): string {
  const trimmed = value.trim().replace(/\/+$/, "");
  const url = URL.canParse(trimmed) ? new URL(trimmed) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new UserError(
      `${variable}: ${JSON.stringify(value)} is no address; write it such as https://huggingface.co`,
    );
  }
  return trimmed;
}

function seconds(name: string, env: Environment, byDefault: number): number {
  const value = env[name]?.trim();
  if (value === undefined || value === "") return byDefault;
  const number = Number(value);
  if (!(number > 0)) throw new UserError(`${name}: ${JSON.stringify(value)} is not a number of seconds`);
  return number;
}

function proxiesOf(env: Environment): Proxies {
  const all = env.all_proxy ?? env.ALL_PROXY ?? "";
  return {
    http: withScheme("HTTP_PROXY", env.http_proxy ?? env.HTTP_PROXY ?? all),
    https: withScheme("HTTPS_PROXY", env.https_proxy ?? env.HTTPS_PROXY ?? all),
    none: env.no_proxy ?? env.NO_PROXY ?? "",
  };
}

function withScheme(variable: string, value: string): string {
  if (value === "") return "";
  const address = value.includes("://") ? value : `http://${value}`;
  if (URL.canParse(address) && /^(https?|socks5?h?):$/.test(new URL(address).protocol)) {
    return address.replace(/^socks5h:/i, "socks5:");
  }
  // the value may hold a password
  throw new UserError(`${variable}: not the address of a proxy; write it such as http://proxy.example:3128`);
}

/** HF_TOKEN, or the file that `hf auth login` wrote. */
function implicitToken(env: Environment, home: string): string | undefined {
  if (isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return undefined;
  const token = env.HF_TOKEN?.trim() || env.HUGGING_FACE_HUB_TOKEN?.trim();
  if (token) return token;
  const file = expanded(env.HF_TOKEN_PATH, env) ?? path.join(home, "token");
  try {
    return existsSync(file) ? readFileSync(file, "utf8").trim() || undefined : undefined;
  } catch {
    return undefined; // unreadable: as good as none
  }
}
