// A run as a notebook's cell shows it: from events to one piece of HTML, which replaces itself as the run goes on. It
// draws nothing else and computes nothing.
import { scoreTable } from "../evaluate/score-table.js";
import type { BeginEvent, StepEvent, TrainEvent } from "../events.js";
import { duration, rate, significant, speed } from "../words.js";

/** What a notebook shows something with: `tslab.newDisplay()` gives one, and each call replaces what it showed. */
export interface CellDisplay {
  /** Shows HTML in the cell, in place of what was there. */
  html(text: string): void;
}

const REDRAW_MS = 250;
const MOST_MESSAGES = 8;
const [WIDTH, HEIGHT] = [420, 90];

/** Shows the events of one run in one display. */
export class RunView {
  readonly #display: CellDisplay;
  readonly #now: () => number;
  #plan: BeginEvent | undefined;
  #began = 0;
  #drawn = Number.NEGATIVE_INFINITY;
  #step: StepEvent | undefined;
  #losses: [number, number][] = [];
  #messages: string[] = [];
  #scores = "";
  #state = "preparing";

  /** @param now milliseconds; for tests */
  constructor(display: CellDisplay, now: () => number = Date.now) {
    this.#display = display;
    this.#now = now;
    this.#draw();
  }

  /** Takes an event of the run; most of them only change what the next drawing shows. */
  observe(event: TrainEvent): void {
    switch (event.type) {
      case "message":
        this.say(event.level === "warning" ? `warning: ${event.text}` : event.text);
        return;
      case "begin":
        this.#plan = event;
        this.#began = this.#now();
        this.#state = "training";
        break;
      case "step":
        this.#step = event;
        if (Number.isFinite(event.loss)) this.#losses.push([event.step, event.loss]);
        break;
      case "evaluate":
        this.#state = event.done < event.total ? `evaluating ${event.done}/${event.total}` : "training";
        break;
      case "domains":
        this.#scores = scoreTable(event.rows);
        break;
      case "checkpoint":
      case "file":
        this.say(`${event.type === "file" ? event.what : `checkpoint of step ${event.step}`}: ${event.path}`);
        return;
      case "end":
        this.#state = `${event.result.interrupted ? "interrupted" : "finished"} after ${event.result.steps} steps, mean loss ${significant(event.result.trainLoss)}`;
        this.#draw();
        return;
    }
    if (this.#now() - this.#drawn >= REDRAW_MS) this.#draw();
  }

  /** Adds a line under the figures. */
  say(text: string): void {
    this.#messages = [...this.#messages, text].slice(-MOST_MESSAGES);
    this.#draw();
  }

  /** The run ended by an error, which the cell shows itself. */
  fail(): void {
    this.#state = "failed";
    this.#draw();
  }

  #draw(): void {
    this.#drawn = this.#now();
    const parts = [
      `<b>${escaped(this.#state)}</b>`,
      this.#bar(),
      this.#figures(),
      sparkline(this.#losses),
      this.#scores === "" ? "" : `<pre>${escaped(this.#scores)}</pre>`,
      this.#messages.length === 0 ? "" : `<small>${this.#messages.map(escaped).join("<br>")}</small>`,
    ];
    this.#display.html(`<div class="qwen-pt">${parts.filter(Boolean).join("<br>")}</div>`);
  }

  #bar(): string {
    const { totalSteps } = this.#plan ?? { totalSteps: 0 };
    if (totalSteps === 0) return "";
    const done = this.#step?.step ?? this.#plan?.startStep ?? 0;
    return `<progress max="${totalSteps}" value="${done}" style="width:${WIDTH}px"></progress> ${done}/${totalSteps}`;
  }

  #figures(): string {
    const [step, plan] = [this.#step, this.#plan];
    if (step === undefined || plan === undefined) return "";
    const elapsed = (this.#now() - this.#began) / 1000;
    const left = (elapsed / (step.step - plan.startStep)) * (plan.totalSteps - step.step);
    const cells = [
      ["loss", significant(step.loss)],
      ["gradient norm", significant(step.gradNorm)],
      ["learning rate", rate(step.learningRate)],
      ["epoch", step.epoch.toFixed(2)],
      ["tokens/s", speed(step.tokensPerSecond)],
      ["left", duration(left)],
    ];
    const heads = cells.map(([name]) => `<th>${name}</th>`).join("");
    const values = cells.map(([, value]) => `<td>${value}</td>`).join("");
    return `<table><tr>${heads}</tr><tr>${values}</tr></table>`;
  }
}

/** The losses so far as a line, thinned to a point a pixel. */
function sparkline(losses: readonly [number, number][]): string {
  if (losses.length < 2) return "";
  const every = Math.ceil(losses.length / WIDTH);
  const kept = losses.filter((_, at) => at % every === 0 || at === losses.length - 1);
  const values = kept.map(([, loss]) => loss);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [first, last] = [kept[0]?.[0] ?? 0, kept.at(-1)?.[0] ?? 1];
  const points = kept.map(([step, loss]) => {
    const x = (WIDTH * (step - first)) / Math.max(1, last - first);
    const y = HEIGHT - (HEIGHT * (loss - low)) / Math.max(high - low, 1e-12);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  const line = `<polyline fill="none" stroke="#1f77b4" stroke-width="1.5" points="${points.join(" ")}"/>`;
  return `<svg width="${WIDTH}" height="${HEIGHT}" viewBox="-1 -1 ${WIDTH + 2} ${HEIGHT + 2}" role="img" aria-label="loss by step, ${significant(low)} to ${significant(high)}">${line}</svg>`;
}

const CHARACTERS: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
};
const escaped = (text: string): string => text.replace(/[&<>"]/g, (letter) => CHARACTERS[letter] ?? letter);
