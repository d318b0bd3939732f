// A Chromium without a window, by its debugging protocol: pages opened at a size and taken as PNG. No package is needed
// beside the browser itself, which is Debian's, Playwright's or what QWEN_PT_CHROMIUM names.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { WebSocket } from "undici";
import { onPath, SetupError } from "../tools.mjs";

/** The path of a Chromium; undefined where there is none. */
export function findBrowser() {
  if (process.env.QWEN_PT_CHROMIUM) return process.env.QWEN_PT_CHROMIUM;
  const named = ["chromium", "chromium-browser", "google-chrome", "chrome"].find((name) => onPath(name));
  if (named !== undefined) return named;
  const folder = path.join(os.homedir(), ".cache", "ms-playwright");
  const found = list(folder).findLast((name) => /^chromium-\d+$/.test(name));
  return found && path.join(folder, found, "chrome-linux", "chrome");
}

function list(folder) {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

/** Sizes of a screen, in CSS pixels, and the pixels of the picture for each of them. */
export const SCREENS = {
  wide: { width: 1280, height: 860, deviceScaleFactor: 1, mobile: false },
  phone: { width: 390, height: 844, deviceScaleFactor: 2, mobile: true },
};

/**
 * Starts the browser, hands `take(url, screen, file, settleMs)` to `use`, and ends the browser.
 * `take` writes a PNG of what a reader sees first, once the page is loaded and has settled.
 */
export async function withBrowser(use) {
  const program = findBrowser();
  if (program === undefined)
    throw new SetupError("no Chromium was found: apt install chromium, or QWEN_PT_CHROMIUM=/path/to/one");
  const profile = mkdtempSync(path.join(os.tmpdir(), "qwen-pt-browser-"));
  const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"];
  const child = spawn(program, [...flags, "--remote-debugging-port=0", `--user-data-dir=${profile}`], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  try {
    const send = await connect(await address(child));
    await use((...asked) => take(send, ...asked));
  } finally {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill();
    await ended;
    rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 });
  }
}

/** The address that the browser says it listens at. */
function address(child) {
  return new Promise((resolve, reject) => {
    let said = "";
    child.stderr.on("data", (text) => {
      said += text;
      const found = /DevTools listening on (ws:\S+)/.exec(said);
      if (found) resolve(found[1]);
    });
    child.once("error", (error) => reject(new SetupError(`Chromium does not start: ${error.message}`)));
    child.once("exit", () => reject(new SetupError(`Chromium ended: ${said.trim().split("\n").at(-1)}`)));
  });
}

/** A function that sends a command and resolves to its result. */
async function connect(url) {
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", () => reject(new SetupError(`${url} does not answer`)));
  });
  const waiting = new Map();
  let last = 0;
  socket.addEventListener("message", ({ data }) => {
    const { id, result, error } = JSON.parse(data);
    const answer = waiting.get(id);
    if (answer === undefined) return;
    waiting.delete(id);
    if (error) answer.reject(new Error(error.message));
    else answer.resolve(result);
  });
  return (method, params = {}, sessionId = undefined) =>
    new Promise((resolve, reject) => {
      waiting.set(++last, { resolve, reject });
      socket.send(JSON.stringify({ id: last, method, params, sessionId }));
    });
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function take(send, url, screen, file, settleMs = 600) {
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  const page = (method, params) => send(method, params, sessionId);
  await page("Emulation.setDeviceMetricsOverride", SCREENS[screen]);
  await page("Page.enable");
  const { errorText } = await page("Page.navigate", { url });
  if (errorText) throw new SetupError(`${url}: ${errorText}`);
  await loaded(page, url);
  await pause(settleMs);
  const { data } = await page("Page.captureScreenshot", { format: "png" });
  writeFileSync(file, Buffer.from(data, "base64"));
  await send("Target.closeTarget", { targetId });
}

/** Waits until the document is complete, for half a minute at most. */
async function loaded(page, url) {
  for (let tries = 0; tries < 300; tries++) {
    const { result } = await page("Runtime.evaluate", { expression: "document.readyState" });
    if (result.value === "complete") return;
    await pause(100);
  }
  throw new SetupError(`${url}: the page does not finish loading`);
}
