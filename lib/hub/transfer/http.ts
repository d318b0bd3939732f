// Requests to a hub: proxies, redirects that never carry the token to a stranger, time-outs, and attempts again where
// that can help. It knows no hub's paths and puts no failure into words: that is failures.ts.
import { setTimeout as sleep } from "node:timers/promises";
import type { Dispatcher } from "undici";
import { packageVersion } from "../../version.js";
import type { HubSettings } from "../settings.js";

const MOST_REDIRECTS = 10;
/** Bytes of a JSON answer. Hugging Face's longest page of files has 1 MB. */
const MOST_JSON = 64 * 2 ** 20;
/** A JSON answer must be whole within this many times the wait allowed before it begins. */
const ANSWER_TIMES = 12;
/** Bytes of a refusal that are looked at. */
const MOST_REFUSAL = 64 * 2 ** 10;
const MOST_WAIT_SECONDS = 120;
const RETRIED = new Set([408, 429, 500, 502, 503, 504]);
/** What travels with the hub's own answer when it redirects to where the bytes are. */
const LINKED = ["x-repo-commit", "x-linked-etag", "x-linked-size"];

/** An answer that is no success, or none at all. */
export class HttpFailure extends Error {
  override readonly name = "HttpFailure";

  constructor(
    message: string,
    /** undefined where nothing answered. */
    readonly status: number | undefined,
    /** The system's or undici's code, such as ENOTFOUND. */
    readonly code: string,
    /** Hugging Face's X-Error-Code, such as GatedRepo. */
    readonly hubCode: string,
    readonly retryAfter: number | undefined,
  ) {
    super(message);
  }

  /** Whether there was nobody to answer: waiting long is no remedy for a first request. */
  get isUnreachable(): boolean {
    return /^(?:ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH)$/.test(this.code);
  }

  /** The status by which a proxy refused, where one did. */
  get byProxy(): string | undefined {
    return this.status === undefined ? /^Proxy\b.*\((\d{3})\)/i.exec(this.message)?.[1] : undefined;
  }

  /** Whether the same request may succeed later. */
  get isPassing(): boolean {
    if (this.status !== undefined) return RETRIED.has(this.status);
    if (this.byProxy !== undefined) return RETRIED.has(Number(this.byProxy));
    return !/ENDLESS|CERT|SELF_SIGNED|UNABLE_TO|UND_ERR_INVALID_ARG|REDIRECTS|ERR_TLS/.test(this.code);
  }
}

export interface Answer {
  readonly status: number;
  /** The last answer's, with what an earlier hop said of the file itself. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Dispatcher.ResponseData["body"];
  /** Where the answer came from, redirects followed. */
  readonly url: string;
}

export interface RequestOptions {
  readonly method?: "GET" | "HEAD";
  readonly headers?: Readonly<Record<string, string>>;
  /** Seconds of silence inside the body. */
  readonly bodyTimeout?: number;
  /** False leaves a redirect to another host alone: its headers are the answer. */
  readonly follow?: boolean;
  /** Without the token: an address that the hub redirected to. */
  readonly anonymous?: boolean;
}

export interface HttpOptions {
  readonly signal?: AbortSignal | undefined;
  /** Requests for the same thing before giving up. */
  readonly attempts?: number;
  /** Milliseconds before attempt `again` (1, 2, ...), where the server names no time. */
  readonly backoff?: (again: number) => number;
}

/** A client of one hub. Close it. */
export class Http {
  readonly #settings: HubSettings;
  #dispatcher: Dispatcher | undefined;
  readonly signal: AbortSignal | undefined;
  readonly attempts: number;
  readonly #backoff: (again: number) => number;

  constructor(settings: HubSettings, options: HttpOptions = {}) {
    this.#settings = settings;
    this.signal = options.signal;
    this.attempts = options.attempts ?? 5;
    this.#backoff = options.backoff ?? ((again) => Math.min(8000, 500 * 2 ** (again - 1)));
  }

  /** Seconds without a byte after which a body counts as dead. */
  get silence(): number {
    return this.#settings.downloadTimeout;
  }

  /** undici is loaded with the first request: most runs make none. */
  async #undici(): Promise<{ request: typeof import("undici").request; dispatcher: Dispatcher }> {
    const { EnvHttpProxyAgent, request } = await import("undici");
    const { proxies, answerTimeout } = this.#settings;
    this.#dispatcher ??= new EnvHttpProxyAgent({
      httpProxy: proxies.http,
      httpsProxy: proxies.https,
      noProxy: proxies.none,
      // plain http through a proxy as every client sends it: many proxies tunnel to port 443 only
      proxyTunnel: false,
      connect: { timeout: answerTimeout * 1000 },
    });
    return { request, dispatcher: this.#dispatcher };
  }

  async close(): Promise<void> {
    await this.#dispatcher?.destroy().catch(() => {});
  }

  /** Does `work` until it succeeds, fails for good, or has failed `attempts` times in a row without `progressed`. */
  async persist<T>(
    work: () => Promise<T>,
    options: { progressed?: () => boolean; attempts?: number; first?: boolean } = {},
  ): Promise<T> {
    const wanted = options.attempts ?? this.attempts;
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        this.signal?.throwIfAborted();
        if (!(error instanceof HttpFailure) || !error.isPassing) throw error;
        if (options.progressed?.() === true) attempt = 1;
        const most = options.first && error.isUnreachable ? Math.min(2, wanted) : wanted;
        if (attempt >= most || (error.retryAfter ?? 0) > MOST_WAIT_SECONDS) throw error;
        const wait = error.retryAfter === undefined ? this.#backoff(attempt) : error.retryAfter * 1000;
        await sleep(wait, undefined, { signal: this.signal });
      }
    }
  }

  /** A JSON document, with its headers. */
  async json(url: string, attempts?: number): Promise<{ body: unknown; headers: Answer["headers"] }> {
    return this.persist(
      async () => {
        const answer = await this.open(url, { headers: { accept: "application/json" } });
        const text = await this.#text(answer.body);
        try {
          return { body: JSON.parse(text) as unknown, headers: answer.headers };
        } catch {
          throw new HttpFailure("the answer is no JSON", undefined, "NO_JSON", "", undefined);
        }
      },
      attempts === undefined ? { first: true } : { attempts },
    );
  }

  /** A body's text, as long as it is of a list's size and comes at a list's pace. */
  async #text(body: Answer["body"]): Promise<string> {
    const end = Date.now() + ANSWER_TIMES * this.#settings.answerTimeout * 1000;
    const chunks: Buffer[] = [];
    let size = 0;
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > MOST_JSON || Date.now() > end)
          throw new HttpFailure("an answer without end", undefined, "ENDLESS", "", undefined);
        chunks.push(chunk);
      }
    } catch (error) {
      throw failureOf(error);
    } finally {
      body.destroy();
    }
    return Buffer.concat(chunks).toString("utf8");
  }

  /** One request, redirects followed. Throws HttpFailure for anything but a success. */
  async open(url: string, options: RequestOptions = {}): Promise<Answer> {
    let current = new URL(url);
    let trusted = options.anonymous !== true;
    const linked: Record<string, string> = {};
    for (let hop = 0; hop <= MOST_REDIRECTS; hop++) {
      const answer = await this.#once(current, options, trusted);
      const headers = flat(answer.headers);
      const location = isRedirect(answer.statusCode) ? headers["location"] : undefined;
      if (location === undefined) {
        if (answer.statusCode >= 300) throw await refusal(answer.statusCode, headers, answer.body);
        return {
          status: answer.statusCode,
          headers: { ...headers, ...linked },
          body: answer.body,
          url: current.href,
        };
      }
      await answer.body.dump().catch(() => {});
      const next = nextAddress(location, current);
      if (trusted) for (const name of LINKED) if (headers[name]) linked[name] = headers[name];
      const stays = this.#mayHaveToken(current, next);
      if (options.follow === false && !stays) {
        return {
          status: answer.statusCode,
          headers: { ...headers, ...linked },
          body: answer.body,
          url: next.href,
        };
      }
      trusted &&= stays;
      current = next;
    }
    throw new HttpFailure("too many redirects", undefined, "REDIRECTS", "", undefined);
  }

  async #once(url: URL, options: RequestOptions, trusted: boolean): Promise<Dispatcher.ResponseData> {
    const { answerTimeout, downloadTimeout } = this.#settings;
    const { request, dispatcher } = await this.#undici();
    try {
      const answer = await request(url, {
        method: options.method ?? "GET",
        headers: {
          "user-agent": `qwen-pt/${packageVersion()} node/${process.versions.node}`,
          "accept-encoding": "identity",
          ...options.headers,
          ...(trusted ? this.#credentials() : {}),
        },
        dispatcher,
        headersTimeout: answerTimeout * 1000,
        bodyTimeout: (options.bodyTimeout ?? downloadTimeout) * 1000,
        signal: this.signal ?? null,
      });
      // whoever reads a body hears of its errors; those of one that nobody reads on would end the process
      answer.body.on("error", () => {});
      return answer;
    } catch (error) {
      this.signal?.throwIfAborted();
      throw failureOf(error);
    }
  }

  #credentials(): Record<string, string> {
    const { token, hub } = this.#settings;
    if (token === undefined) return {};
    const bearer = { authorization: `Bearer ${token}` };
    // ModelScope's older addresses know the cookie only
    return hub === "modelscope" ? { ...bearer, cookie: `m_session_id=${token}` } : bearer;
  }

  /** The token follows to the same origin, from http to https of one host, and to Hugging Face itself. */
  #mayHaveToken(from: URL, to: URL): boolean {
    if (to.origin === from.origin) return true;
    if (to.protocol !== "https:") return false;
    if (to.hostname === from.hostname && from.protocol === "http:" && to.port === "") return true;
    const own = ["huggingface.co", "hf.co"];
    return this.#settings.hub === "huggingface" && to.port === "" && own.includes(to.hostname);
  }
}

function isRedirect(status: number): boolean {
  return [301, 302, 303, 307, 308].includes(status);
}

function nextAddress(location: string, from: URL): URL {
  const next = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (next !== undefined && /^https?:$/.test(next.protocol)) return next;
  throw new HttpFailure(
    "a redirect that leads nowhere",
    undefined,
    "UND_ERR_INVALID_ARG_LOCATION",
    "",
    undefined,
  );
}

function flat(headers: Dispatcher.ResponseData["headers"]): Record<string, string> {
  const pairs = Object.entries(headers).map(([name, value]) => [
    name,
    Array.isArray(value) ? value.join(", ") : (value ?? ""),
  ]);
  return Object.fromEntries(pairs) as Record<string, string>;
}

async function beginning(body: Answer["body"]): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > MOST_REFUSAL) break;
    }
  } finally {
    body.destroy();
  }
  return Buffer.concat(chunks).toString("utf8");
}

async function refusal(
  status: number,
  headers: Record<string, string>,
  body: Answer["body"],
): Promise<HttpFailure> {
  let said = headers["x-error-message"] ?? "";
  try {
    const text = (await beginning(body)).slice(0, 2000);
    if (said === "" && text.startsWith("{")) {
      const json = JSON.parse(text) as { error?: unknown; Message?: unknown };
      said = String(json.error ?? json.Message ?? "");
    }
  } catch {
    // the status alone will do
  }
  const after = headers["retry-after"];
  return new HttpFailure(
    said,
    status,
    `HTTP_${status}`,
    headers["x-error-code"] ?? "",
    after ? waitOf(after) : undefined,
  );
}

/** Seconds or a date. */
function waitOf(value: string): number | undefined {
  const number = Number(value);
  if (Number.isFinite(number)) return Math.max(0, number);
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, (date - Date.now()) / 1000);
}

/** What undici and the system throw, as one kind. */
export function failureOf(error: unknown): HttpFailure {
  if (error instanceof HttpFailure) return error;
  if (!(error instanceof Error)) return new HttpFailure(String(error), undefined, "UNKNOWN", "", undefined);
  if (error.name === "AbortError" && (error as { code?: unknown }).code !== "UND_ERR_ABORTED") throw error;
  const cause = error.cause instanceof Error ? error.cause : undefined;
  const code = (error as NodeJS.ErrnoException).code ?? (cause as NodeJS.ErrnoException | undefined)?.code;
  return new HttpFailure(
    error.message || (cause?.message ?? ""),
    undefined,
    code ?? error.name,
    "",
    undefined,
  );
}
