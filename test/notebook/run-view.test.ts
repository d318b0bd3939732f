// A run in a cell: one piece of HTML that follows the events, redrawn at most four times a second.
import { expect, it } from "vitest";
import type { StepEvent } from "../../lib/events.js";
import { RunView } from "../../lib/notebook/index.js";

const begin = {
  type: "begin",
  examples: 8,
  epochs: 1,
  totalSteps: 100,
  stepsPerEpoch: 100,
  perDeviceBatch: 1,
  totalBatch: 1,
  accumulation: 1,
  startStep: 0,
} as const;
const step = (at: number, loss: number): StepEvent => ({
  type: "step",
  step: at,
  totalSteps: 100,
  epoch: at / 100,
  loss,
  gradNorm: 1,
  learningRate: 1e-4,
  tokens: 10,
  tokensPerSecond: 20,
  dataWaitSeconds: 0,
  memoryBytes: 1,
});

it("shows figures, time left and the curve, and does not redraw for every step", () => {
  const shown: string[] = [];
  let now = 0;
  const view = new RunView({ html: (text) => shown.push(text) }, () => now);
  now = 1000;
  view.observe(begin);
  for (let at = 1; at <= 50; at++) {
    now += 100;
    view.observe(step(at, 5 - at / 100));
  }
  expect(shown.length).toBeLessThan(25);
  const last = shown.at(-1) as string;
  expect(last).toContain('<progress max="100" value="');
  expect(last).toMatch(/<td>4\.5\d<\/td>|<td>4\.5\d\d<\/td>/);
  expect(last).toContain("<polyline");
  expect(last).toMatch(/<td>0:05<\/td><\/tr>/);
});

it("never lets text through as markup", () => {
  const shown: string[] = [];
  new RunView({ html: (text) => shown.push(text) }).say('<script>alert("&")</script>');
  expect(shown.at(-1)).toContain("&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;");
});
