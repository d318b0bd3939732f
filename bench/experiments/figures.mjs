// Which pictures are drawn from the kept runs. How a picture is drawn is in pictures.mjs.
import { AGAINST, bits, DATED, points, settingsOf } from "./kept-runs.mjs";
import { drawBars, drawCurves } from "./pictures.mjs";
import { EXPERIMENTS } from "./settings.mjs";
import { deviation, mean } from "./statistics.mjs";
import { P } from "./words.mjs";

const families = (kept, names) =>
  names.flatMap((experiment) => {
    const found = settingsOf(experiment).flatMap(([name, { label }]) => {
      const all = Object.values(points(kept[experiment]?.[name]));
      if (all.length === 0) return [];
      return [{ x: mean(all.map(({ gain }) => gain)), y: mean(all.map(({ loss }) => loss)), label }];
    });
    return found.length === 0
      ? []
      : [{ name: EXPERIMENTS[experiment].family ?? experiment, points: found, side: SIDES[experiment] }];
  });

/** Where a family's labels stand, so that curves that meet can be read. */
const SIDES = { rates: "below right", lora: "below right", elastic: "left", distillation: "left" };

/** A setting's mean bits per character on domains, as bars' values. */
const meansOf = (runs, domains) => domains.map((domain) => Number(mean(bits(runs, domain)).toFixed(3)));
/** Their standard deviations over the seeds. */
const spreadsOf = (runs, domains) => domains.map((domain) => deviation(bits(runs, domain)));

function frontierPicture(kept, file, l) {
  const found = families(kept, ["rates", "lora", ...AGAINST]);
  if (found.length === 0) return;
  drawCurves(file, {
    title: P.frontier[l],
    x: P.gained[l],
    y: P.lost[l],
    families: found.map((family) => ({
      ...family,
      name: P.families[family.name]?.[l] ?? family.name,
      points: family.points.map((point) => ({
        ...point,
        label: point.label === "both" ? P.both[l] : point.label,
      })),
    })),
  });
}

const DOMAINS = { prose_heldout: P.essays, poems_heldout: P.poems };

/** Bars of the essays' and the poems' bits per character, a group a setting. */
function domainBars(file, title, runsByLabel, l) {
  const groups = Object.entries(runsByLabel).filter(([, found]) => found !== undefined);
  const bars = Object.values(DOMAINS).map((name, i) => ({
    name: name[l],
    values: groups.map(([, { values }]) => values[i]),
    spreads: groups.map(([, { spreads }]) => spreads[i]),
  }));
  drawBars(file, { title, y: P.bits[l], groups: groups.map(([label]) => label), bars });
}

const both = (runs) => {
  const domains = Object.keys(DOMAINS);
  return runs === undefined
    ? undefined
    : { values: meansOf(runs, domains), spreads: spreadsOf(runs, domains) };
};

function ratesPicture(kept, file, l) {
  if (kept.rates === undefined) return;
  const first = Object.values(kept.rates)[0];
  const values = Object.keys(DOMAINS).map((domain) => Number(mean(bits(first, domain, "before")).toFixed(3)));
  const before = { values, spreads: values.map(() => 0) };
  const after = settingsOf("rates").map(([name, { label }]) => [label, both(kept.rates[name])]);
  domainBars(file, P.rates[l], { [P.before[l]]: before, ...Object.fromEntries(after) }, l);
}

function curriculumPicture(kept, file, l) {
  if (kept.curriculum === undefined) return;
  const after = settingsOf("curriculum").map(([name, { label }]) => [
    P.curricula[label]?.[l] ?? label,
    both(kept.curriculum[name]),
  ]);
  const none = { [P.none[l]]: both(kept.rates?.["learning_rate 8e-4"]) };
  domainBars(file, P.curriculum[l], { ...none, ...Object.fromEntries(after) }, l);
}

function freshnessPicture(kept, file, l) {
  if (kept.freshness === undefined) return;
  const first = Object.values(kept.freshness)[0];
  const before = DATED.map((domain) => Number(mean(bits(first, domain, "before")).toFixed(3)));
  const after = settingsOf("freshness").flatMap(([name, { label }]) =>
    kept.freshness[name] === undefined
      ? []
      : [
          {
            name: label === "none" ? P.noDecay[l] : `${P.halfLife[l]} ${parseFloat(label)}${P.years[l]}`,
            values: meansOf(kept.freshness[name], DATED),
            spreads: spreadsOf(kept.freshness[name], DATED),
          },
        ],
  );
  drawBars(file, {
    title: P.freshness[l],
    y: P.bits[l],
    groups: DATED.map((domain) => String(Number(domain.slice(5)))),
    bars: [{ name: P.before[l], values: before }, ...after],
  });
}

function vocabularyPicture(kept, file, l) {
  const plain = kept.rates?.["learning_rate 8e-4"];
  if (kept.vocabulary === undefined || plain === undefined) return;
  const of = (runs) => Object.values(runs)[0].domains.prose_heldout.after.tokens;
  const all = [
    [P.none[l], plain],
    ...settingsOf("vocabulary").map(([name, { label }]) => [label, kept.vocabulary[name]]),
  ];
  const there = all.filter(([, runs]) => runs !== undefined);
  const percent = (value) => Number((100 * value).toFixed(1));
  drawBars(file, {
    title: P.vocabulary[l],
    y: P.percent[l],
    groups: there.map(([label]) => label.replace("embedding_learning_rate", P.ownRate[l])),
    bars: [
      { name: P.tokens[l], values: there.map(([, runs]) => percent(of(runs) / of(plain))) },
      {
        name: P.bits[l],
        values: there.map(([, runs]) =>
          percent(mean(bits(runs, "prose_heldout")) / mean(bits(plain, "prose_heldout"))),
        ),
      },
    ],
  });
}

function resourcesPicture(kept, file, l) {
  const full = kept.resources?.["finetuning_type full"]?.[1];
  if (full === undefined) return;
  const there = settingsOf("resources").filter(([name]) => kept.resources[name] !== undefined);
  const runs = there.map(([name]) => kept.resources[name][1]);
  const percent = (part, whole) => Number(((100 * part) / whole).toFixed(1));
  drawBars(file, {
    title: P.resources[l],
    y: P.percent[l],
    groups: there.map(([, { short }]) => P.parts[short]?.[l] ?? short),
    bars: [
      {
        name: P.memory[l],
        values: runs.map(({ peak, before }) => percent(peak - before, full.peak - full.before)),
      },
      {
        name: P.time[l],
        values: runs.map(({ secondsPerStep }) => percent(secondsPerStep, full.secondsPerStep)),
      },
    ],
  });
}

/** By the file in docs/images, and in docs/images/zh with Chinese words. */
export const FIGURES = {
  "domain-injection": ratesPicture,
  freshness: freshnessPicture,
  vocabulary: vocabularyPicture,
  curriculum: curriculumPicture,
  "forgetting-frontier": frontierPicture,
  resources: resourcesPicture,
};
