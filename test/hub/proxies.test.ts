// Proxies as the environment names them: plain http is forwarded, https goes through a tunnel, NO_PROXY goes past. The
// proxy is a real one; the program is the compiled one, because trust in a certificate is read at its start.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import net, { type AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { failure, place } from "./room.js";
import { modelRepo } from "./server.js";

const here = place();
const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const CERTIFICATE = fileURLToPath(new URL("../fixtures/hub/localhost.cert.pem", import.meta.url));
const KEY = CERTIFICATE.replace("cert", "key");

class RealProxy {
  readonly forwarded: { url: string; headers: http.IncomingHttpHeaders }[] = [];
  readonly tunnels: string[] = [];
  /** What Proxy-Authorization must be, where it must. */
  wanted: string | undefined;
  url = "";
  readonly #server = http.createServer((q, s) => {
    this.forwarded.push({ url: q.url ?? "", headers: q.headers });
    if (!this.#admits(q)) return void s.writeHead(407).end();
    const on = http.request(q.url ?? "", { method: q.method, headers: q.headers }, (answer) => {
      s.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(s);
    });
    on.on("error", () => s.destroy());
    on.end();
  });

  async start(): Promise<void> {
    this.#server.on("connect", (q: http.IncomingMessage, socket: net.Socket) => {
      this.tunnels.push(q.url ?? "");
      socket.on("error", () => {});
      if (!this.#admits(q)) return void socket.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
      const [host = "", port = ""] = (q.url ?? "").split(":");
      const on = net.connect(Number(port), host, () => {
        socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
        on.pipe(socket).pipe(on);
      });
      on.on("error", () => socket.destroy());
    });
    await new Promise<void>((done) => this.#server.listen(0, "127.0.0.1", done));
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #admits(q: http.IncomingMessage): boolean {
    return this.wanted === undefined || q.headers["proxy-authorization"] === this.wanted;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** An HTTPS hub: the one of this machine behind its own certificate. */
function secured(): Promise<https.Server> {
  const options = { key: readFileSync(KEY), cert: readFileSync(CERTIFICATE) };
  const server = https.createServer(options, (q, s) => {
    const on = http.request(here.hub.endpoint + q.url, { method: q.method, headers: q.headers }, (answer) => {
      s.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(s);
    });
    on.end();
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

function download(env: NodeJS.ProcessEnv): Promise<{ code: number | null; err: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [MAIN, "download", "org/tiny"], { env: { ...here.env, ...env } });
    let err = "";
    child.stderr.on("data", (text) => (err += text));
    child.on("close", (code) => resolve({ code, err }));
  });
}

let proxy: RealProxy;
beforeEach(async () => {
  proxy = new RealProxy();
  await proxy.start();
  modelRepo(here.hub);
});
afterEach(() => proxy.stop());

describe("a proxy", () => {
  it.each(["http_proxy", "HTTP_PROXY", "ALL_PROXY"])("named by %s carries everything", async (name) => {
    here.env[name] = proxy.url;
    await here.fetch("org/tiny");
    expect(proxy.forwarded).toHaveLength(here.hub.asked.length);
    expect(proxy.forwarded.every(({ url }) => /^http:\/\/(127\.0\.0\.1|localhost):\d+\//.test(url))).toBe(
      true,
    );
    expect(proxy.tunnels).toEqual([]);
  });

  it("is passed by for hosts in NO_PROXY", async () => {
    Object.assign(here.env, { HTTP_PROXY: proxy.url, NO_PROXY: "127.0.0.1" });
    await here.fetch("org/tiny");
    const hosts = new Set(proxy.forwarded.map(({ url }) => new URL(url).hostname));
    expect([...hosts]).toEqual(["localhost"]);
  });

  it("gets user and password, and nobody else does", async () => {
    proxy.wanted = `Basic ${Buffer.from("me:s p@ce").toString("base64")}`;
    here.env.HTTP_PROXY = proxy.url.replace("http://", "http://me:s%20p%40ce@");
    await here.fetch("org/tiny");
    expect(proxy.forwarded.length).toBeGreaterThan(3);
  });

  it("that refuses, or is not there, is named without its password", async () => {
    proxy.wanted = "Basic other";
    here.env.HTTP_PROXY = proxy.url.replace("http://", "http://me:hidden@");
    const refused = await failure(here.fetch("org/tiny"));
    expect(refused.message).toMatch(/^org\/tiny: the proxy refuses .*407.*; check HTTPS_PROXY/);
    here.env.HTTP_PROXY = "http://me:hidden@127.0.0.1:9";
    const absent = await failure(here.fetch("org/tiny"));
    expect(absent.message).toMatch(/cannot be reached \(ECONNREFUSED, through the proxy of HTTPS_PROXY\)/);
    here.env.HTTP_PROXY = "ftp://me:hidden@proxy";
    const odd = await failure(here.fetch("org/tiny"));
    expect(odd.message).toMatch(/^HTTP_PROXY: not the address of a proxy/);
    expect(refused.message + absent.message + odd.message).not.toContain("hidden");
  });

  it("tunnels to a hub behind https, whose certificate must be trusted", async () => {
    const server = await secured();
    try {
      const { port } = server.address() as AddressInfo;
      const env = { HF_ENDPOINT: `https://127.0.0.1:${port}`, HTTPS_PROXY: proxy.url, NO_PROXY: "localhost" };
      const untrusted = await download(env);
      expect(untrusted.err).toMatch(
        /error: org\/tiny: https:\S+: its certificate is not trusted \(\w+\); .*NODE_EXTRA_CA_CERTS\n$/,
      );
      expect(untrusted.code).toBe(1);
      const trusted = await download({ ...env, NODE_EXTRA_CA_CERTS: CERTIFICATE });
      expect(trusted).toMatchObject({ code: 0 });
      expect(new Set(proxy.tunnels)).toEqual(new Set([`127.0.0.1:${port}`]));
      expect(proxy.forwarded).toEqual([]);
      proxy.wanted = "Basic other";
      const refused = await download({ ...env, NODE_EXTRA_CA_CERTS: CERTIFICATE, HF_HOME: `${here.home}/b` });
      expect(refused.err).toMatch(/error: org\/tiny: the proxy refuses to connect to https:\S+ .*407/);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
