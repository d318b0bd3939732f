// Where this package keeps what it fetched or built for a user: libtorch and the addon. A leaf that anyone may import.
// Models and data sets are not kept here: they go where Python's hub libraries keep theirs.
import os from "node:os";
import path from "node:path";

/** What the place depends on; tests hand in other systems'. */
export interface CacheSystem {
  readonly env: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
  readonly home: string;
}

/**
 * The folder: QWEN_PT_CACHE; else `qwen-pt` in the system's place for caches, which is XDG_CACHE_HOME or ~/.cache,
 * ~/Library/Caches on macOS, %LOCALAPPDATA% on Windows.
 */
export function cacheFolder(system?: CacheSystem): string {
  const { env, platform, home } = system ?? {
    env: process.env,
    platform: process.platform,
    home: os.homedir(),
  };
  const { join, resolve, isAbsolute } = platform === "win32" ? path.win32 : path.posix;
  const own = env["QWEN_PT_CACHE"];
  if (own) return resolve(own);
  if (platform === "win32") return join(env["LOCALAPPDATA"] || join(home, "AppData", "Local"), "qwen-pt");
  if (platform === "darwin") return join(home, "Library", "Caches", "qwen-pt");
  // the XDG specification: a relative path is to be ignored
  const xdg = env["XDG_CACHE_HOME"];
  return join(xdg && isAbsolute(xdg) ? xdg : join(home, ".cache"), "qwen-pt");
}
