// From results/ to docs/incremental-pretraining.md and its page in docs/zh: the tables between the markers
// `<!-- experiments: NAME -->` and `<!-- end -->`, in both languages, and the pictures in docs/images. Nothing is trained.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { FIGURES } from "./figures.mjs";
import { AGAINST, bits, DATED, points, settingsOf } from "./kept-runs.mjs";
import { SIZES } from "./settings.mjs";
import { advantage, chiSquareChance, deviation, mean, verdict } from "./statistics.mjs";
import { NOT_RUN, SO, W } from "./words.mjs";

const DOCS = { en: "incremental-pretraining.md", zh: "zh/incremental-pretraining.md" };

/** Writes tables and pictures from what is kept. */
export async function writeTables(root, results) {
  const files = existsSync(results) ? readdirSync(results).filter((name) => name.endsWith(".json")) : [];
  const kept = Object.fromEntries(
    files.map((name) => [
      path.basename(name, ".json"),
      JSON.parse(readFileSync(path.join(results, name), "utf8")),
    ]),
  );
  const images = path.join(root, "docs", "images");
  mkdirSync(path.join(images, "zh"), { recursive: true });
  for (const [language, name] of Object.entries(DOCS)) {
    const file = path.join(root, "docs", name);
    if (!existsSync(file)) continue;
    const text = readFileSync(file, "utf8").replace(
      /(<!-- experiments: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g,
      (_, start, table, end) => {
        if (TABLES[table] === undefined) throw new Error(`${name}: there is no table ${table}`);
        return `${start}\n${TABLES[table](kept, language) ?? NOT_RUN[language]}\n\n${end}`;
      },
    );
    writeFileSync(file, text);
  }
  for (const [name, draw] of Object.entries(FIGURES)) {
    draw(kept, path.join(images, `${name}.svg`), "en");
    draw(kept, path.join(images, "zh", `${name}.svg`), "zh");
  }
}

const spread = (values, digits = 2) =>
  values.length === 0
    ? ""
    : `${mean(values).toFixed(digits)}${values.length > 1 ? ` ± ${deviation(values).toFixed(digits)}` : ""}`;
const count = (value) => Math.round(value).toLocaleString("en-US");

function markdown(heads, rows) {
  return [heads, heads.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** The plain learning rates' points of each seed. */
function plainCurves(kept) {
  const curves = {};
  for (const [name] of settingsOf("rates"))
    for (const [seed, point] of Object.entries(points(kept.rates?.[name]))) {
      curves[seed] ??= [];
      curves[seed].push(point);
    }
  return curves;
}

function ratesTable(kept, l) {
  if (kept.rates === undefined) return undefined;
  const rows = [
    ["rates", settingsOf("rates")],
    ["lora", settingsOf("lora")],
  ].flatMap(([experiment, settings]) =>
    settings.map(([name]) => {
      const runs = kept[experiment]?.[name];
      const accuracy = Object.values(runs ?? {}).map(
        ({ domains }) => 100 * domains.prose_heldout.after.accuracy,
      );
      return [
        `\`${name}\``,
        spread(bits(runs, "prose_heldout")),
        accuracy.length === 0 ? "" : `${spread(accuracy, 1)} %`,
        spread(bits(runs, "poems_heldout")),
      ];
    }),
  );
  const first = Object.values(kept.rates)[0];
  const accuracy = Object.values(first).map(({ domains }) => 100 * domains.prose_heldout.before.accuracy);
  const start = [
    W.before[l],
    mean(bits(first, "prose_heldout", "before")).toFixed(2),
    `${mean(accuracy).toFixed(1)} %`,
    mean(bits(first, "poems_heldout", "before")).toFixed(2),
  ];
  return markdown([W.setting[l], W.prose[l], W.accuracy[l], W.poems[l]], [start, ...rows]);
}

/** Whether a method left of the poems what the same rate leaves without it, within two standard errors or 0.03 bits. */
function isIdle(kept, runs) {
  const [without, with_] = [points(kept.rates?.["learning_rate 8e-4"]), points(runs)];
  const differences = Object.keys(with_).flatMap((seed) =>
    without[seed] === undefined ? [] : [with_[seed].loss - without[seed].loss],
  );
  if (differences.length < 2) return false;
  const error = deviation(differences) / Math.sqrt(differences.length);
  return Math.abs(mean(differences)) <= Math.max(2 * error, 0.03);
}

function frontierTable(kept, l) {
  const curves = plainCurves(kept);
  const rows = AGAINST.flatMap((experiment) =>
    settingsOf(experiment).flatMap(([name]) => {
      const runs = kept[experiment]?.[name];
      if (runs === undefined) return [];
      const found = advantage(curves, points(runs));
      const difference =
        found === undefined
          ? ""
          : `${(-found.mean).toFixed(2).replace("-", "−")}${found.seeds > 1 ? ` ± ${found.error.toFixed(2)}` : ""}`;
      return [
        [
          `\`${name}\``,
          spread(bits(runs, "prose_heldout")),
          spread(bits(runs, "poems_heldout")),
          difference,
          SO[l][isIdle(kept, runs) ? "idle" : verdict(found)],
          Object.keys(runs).length,
        ],
      ];
    }),
  );
  if (rows.length === 0) return undefined;
  return markdown([W.setting[l], W.prose[l], W.poems[l], W.against[l], W.means[l], W.seeds[l]], rows);
}

function vocabularyTable(kept, l) {
  if (kept.vocabulary === undefined) return undefined;
  const plain = kept.rates?.["learning_rate 8e-4"];
  const tokensOf = (runs) =>
    mean(Object.values(runs).map(({ domains }) => domains.prose_heldout.after.tokens));
  const rows = [
    ["extend_vocab null", plain],
    ...settingsOf("vocabulary").map(([name]) => [name, kept.vocabulary[name]]),
  ]
    .filter(([, runs]) => runs !== undefined)
    .map(([name, runs]) => [
      `\`${name}\``,
      count(tokensOf(runs)),
      plain === undefined ? "" : `${(tokensOf(runs) / tokensOf(plain)).toFixed(3)} x`,
      spread(bits(runs, "prose_heldout"), 3),
      spread(bits(runs, "poems_heldout"), 3),
    ]);
  return markdown([W.setting[l], W.tokens[l], W.factor[l], W.prose[l], W.poems[l]], rows);
}

function tagsTable(kept, l) {
  if (kept.languages === undefined) return undefined;
  const names = {
    "without tags": { en: "without tags", zh: "无标记" },
    "with tags": { en: "with tags", zh: "有标记" },
  };
  const rows = settingsOf("languages").map(([name]) => {
    const runs = kept.languages[name];
    return [
      names[name]?.[l] ?? `\`${name}\``,
      ...["prose_heldout", "prose_heldout_simplified", "poems_heldout"].map((domain) =>
        spread(bits(runs, domain), 3),
      ),
    ];
  });
  return markdown([W.setting[l], W.prose[l], W.simplified[l], W.poems[l]], rows);
}

/** By year: documents, and what was drawn over the seeds, as the runs said before they trained. */
function drawsOf(runs) {
  const years = new Map();
  for (const { said } of Object.values(runs)) {
    for (const line of said) {
      const found = /^ *(\d+)(?: to \d+)?: ([\d,]+) documents, .* ([\d,]+) drawn$/.exec(line);
      if (found === null) continue;
      const [year, documents, drawn] = found.slice(1).map((text) => Number(text.replaceAll(",", "")));
      const entry = years.get(year) ?? { documents, drawn: 0 };
      entry.drawn += drawn;
      years.set(year, entry);
    }
  }
  return years;
}

/** What was drawn beside 2^(-age / half-life), worked out here, and the chance of a larger chi-square. */
function drawsTable(kept, l) {
  const [name, { halfLife }] = settingsOf("freshness").find(([, setting]) => setting.halfLife !== undefined);
  const runs = kept.freshness?.[name];
  if (runs === undefined) return undefined;
  const years = [...drawsOf(runs)].sort(([a], [b]) => a - b);
  const newest = years.at(-1)[0];
  const weights = years.map(([year, { documents }]) => documents * 2 ** ((year - newest) / halfLife));
  const total = years.reduce((sum, [, { drawn }]) => sum + drawn, 0);
  const sum = weights.reduce((a, b) => a + b, 0);
  const expected = weights.map((weight) => (total * weight) / sum);
  const square = years.reduce((all, [, { drawn }], i) => all + (drawn - expected[i]) ** 2 / expected[i], 0);
  const rows = years.map(([year, { documents, drawn }], i) => [
    year,
    count(documents),
    expected[i].toFixed(1),
    count(drawn),
  ]);
  const chance = chiSquareChance(square, years.length - 1);
  const line = `${W.chance[l]}: ${chance.toFixed(2)} (chi-square ${square.toFixed(2)}, ${years.length - 1}; ${Object.keys(runs).length} ${W.seeds[l]})`;
  return `${markdown([W.year[l], W.there[l], W.expected[l], W.drawn[l]], rows)}\n\n${line}`;
}

function freshnessTable(kept, l) {
  if (kept.freshness === undefined) return undefined;
  const domains = DATED;
  const first = Object.values(kept.freshness)[0];
  const start = [W.before[l], ...domains.map((domain) => mean(bits(first, domain, "before")).toFixed(2))];
  const rows = settingsOf("freshness").map(([name]) => [
    `\`${name}\``,
    ...domains.map((domain) => spread(bits(kept.freshness[name], domain))),
  ]);
  return markdown(
    [W.setting[l], ...domains.map((domain) => String(Number(domain.slice(5))))],
    [start, ...rows],
  );
}

/** Shares of the tokens, as a run logged them at its end, beside those that its keys ask for. */
function mixtureTable(kept, l) {
  if (kept.mixture === undefined) return undefined;
  const rows = settingsOf("mixture").flatMap(([name, { shares }]) => {
    const runs = kept.mixture[name];
    if (runs === undefined) return [];
    const drawn = Object.values(runs).map(({ logged }) => logged.share_prose);
    return [
      [
        `\`${name}\``,
        percent(shares(SIZES)),
        [...new Set(drawn.map(percent))].join(", "),
        spread(bits(runs, "prose_heldout")),
        spread(bits(runs, "poems_heldout")),
      ],
    ];
  });
  return markdown([W.setting[l], W.asked[l], W.share[l], W.prose[l], W.poems[l]], rows);
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

function curriculumTable(kept, l) {
  if (kept.curriculum === undefined) return undefined;
  const rows = [
    ["learning_rate 8e-4", kept.rates?.["learning_rate 8e-4"]],
    ...settingsOf("curriculum").map(([name]) => [name, kept.curriculum[name]]),
  ]
    .filter(([, runs]) => runs !== undefined)
    .map(([name, runs]) => [
      name.startsWith("learning_rate") ? W.none[l] : name.startsWith("stages") ? name : `\`${name}\``,
      spread(bits(runs, "prose_heldout")),
      spread(bits(runs, "poems_heldout")),
      Object.keys(runs).length,
    ]);
  return markdown([W.setting[l], W.prose[l], W.poems[l], W.seeds[l]], rows);
}

function resourcesTable(kept, l) {
  if (kept.resources === undefined) return undefined;
  const full = kept.resources["finetuning_type full"]?.[1];
  const used = ({ peak, before }) => peak - before;
  const rows = settingsOf("resources").flatMap(([name]) => {
    const run = kept.resources[name]?.[1];
    if (run === undefined) return [];
    const share = (part) => (full === undefined ? "" : ` (${Math.round(100 * part)} %)`);
    return [
      [
        `\`${name}\``,
        count(run.trainable),
        `${Math.round(used(run) / 2 ** 20)} MiB${share(used(run) / used(full))}`,
        `${run.secondsPerStep.toFixed(2)} s${share(run.secondsPerStep / full.secondsPerStep)}`,
      ],
    ];
  });
  return markdown([W.setting[l], W.trained[l], W.memory[l], W.time[l]], rows);
}

const TABLES = {
  rates: ratesTable,
  frontier: frontierTable,
  vocabulary: vocabularyTable,
  tags: tagsTable,
  draws: drawsTable,
  freshness: freshnessTable,
  mixture: mixtureTable,
  curriculum: curriculumTable,
  resources: resourcesTable,
};
