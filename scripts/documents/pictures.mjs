// `npm run pictures`: takes pictures of what people see in a browser, into build/pictures, for somebody to look at: the
// documentation site in both languages, wide and phone-sized. `-- --view NAME=URL` takes one of a server that runs, such as
// TensorBoard's or MLflow's. Nothing is compared here.
import { createReadStream, existsSync, mkdirSync, statSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { parseArgs } from "node:util";
import { projectRoot } from "../libtorch.mjs";
import { runScript, SetupError } from "../tools.mjs";
import { SCREENS, withBrowser } from "./browser.mjs";

const { values } = parseArgs({ options: { view: { type: "string", multiple: true, default: [] } } });
const site = path.join(projectRoot, "build", "site");
const output = path.join(projectRoot, "build", "pictures");
/** Pages that show each kind of thing: a home page, prose, code and tables, a long table, pictures. */
const PAGES = [
  "",
  "walk-through.html",
  "recipe.html",
  "incremental-pretraining.html",
  "troubleshooting.html",
];
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

/** Serves the built site on a free port. */
async function serveSite() {
  if (!existsSync(path.join(site, "index.html")))
    throw new SetupError("the site is not built: npm run docs:site");
  const server = http.createServer((request, response) => {
    const asked = path.join(site, decodeURIComponent(new URL(request.url, "http://site").pathname));
    const file = asked.endsWith(path.sep) ? path.join(asked, "index.html") : asked;
    if (!file.startsWith(site) || !statSync(file, { throwIfNoEntry: false })?.isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": TYPES[path.extname(file)] ?? "application/octet-stream" });
    createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

async function takeSite(take) {
  const server = await serveSite();
  const base = `http://127.0.0.1:${server.address().port}`;
  for (const language of ["", "zh/"])
    for (const page of PAGES)
      for (const screen of Object.keys(SCREENS)) {
        const name = `${language === "" ? "en" : "zh"}-${page.replace(".html", "") || "home"}-${screen}.png`;
        await take(`${base}/${language}${page}`, screen, path.join(output, name));
        process.stdout.write(`${name}\n`);
      }
  server.closeAllConnections();
  server.close();
}

async function takeViews(take) {
  for (const view of values.view) {
    const [, name, url] = /^([\w-]+)=(https?:\S+)$/.exec(view) ?? [];
    if (name === undefined) throw new SetupError(`--view ${view}: it is NAME=URL`);
    await take(url, "wide", path.join(output, `${name}.png`), 15_000);
    process.stdout.write(`${name}.png\n`);
  }
}

await runScript(async () => {
  mkdirSync(output, { recursive: true });
  await withBrowser(values.view.length > 0 ? takeViews : takeSite);
  process.stdout.write(`pictures: ${path.relative(projectRoot, output)}\n`);
});
