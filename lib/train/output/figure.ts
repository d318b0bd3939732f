// A figure as SVG: axes with round numbers, curves, dots or bars, a legend. It reads no run and makes no PNG (chart.ts).
// Text is set by the font that is shipped; letters that it lacks (a folder may have a Chinese name) are set as pieces by
// themselves, because a renderer would take the whole line from the font that has them.

/** Width and height in pixels of the SVG. */
export const SIZE = { width: 640, height: 480 };
/** The font that is shipped. */
export const FAMILY = "DejaVu Sans";
/** The colour of text and axes. */
export const INK = "#333333";
const GRID_LINE = "#e6e6e6";

/** The box that the axes frame. */
interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** An axis of numbers, with labels at multiples of its interval. */
export interface NumberAxis {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly interval: number;
  readonly label: (value: number) => string;
}

/** What is drawn in the box; `points` are in the axes' units. A curve of one point is a dot. */
export type Mark =
  | { kind: "curve"; name: string; color: string; points: readonly (readonly [number, number])[] }
  | { kind: "diamonds"; name: string; color: string; points: readonly (readonly [number, number])[] }
  | { kind: "bars"; name: string; color: string; heights: readonly number[] };

/** A figure: its axes, and what is drawn between them. */
export interface Figure {
  readonly title: string;
  /** Numbers, or the names of groups of bars. */
  readonly x: NumberAxis | readonly string[];
  readonly y: NumberAxis;
  readonly marks: readonly Mark[];
  /** Where the legend stands: in the box's upper right corner, or beneath the title. */
  readonly legend: "inside" | "above";
}

/** The width in pixels of a text of the shipped font's letters. */
export type Measure = (text: string, size: number) => number;

/** Letters that the shipped font has: up to the Cyrillic alphabet, and the ellipsis. */
const SHIPPED = /^[\u0020-\u045f…]*$/;
/** Fonts for the others, best ones first; a renderer takes any that has the letter where none of them is installed. */
const OTHERS =
  "'Noto Sans CJK SC', 'Source Han Sans SC', 'Microsoft YaHei', 'PingFang SC', 'WenQuanYi Micro Hei', sans-serif";

/** Whether a figure's text needs fonts of the system. */
export function needsOtherFonts(words: string): boolean {
  return !SHIPPED.test(words);
}

/** Half of the figure is about 50 characters of a title; the end of a path says more than its start. */
export function shorten(text: string, most: number): string {
  const letters = [...text];
  if (letters.length <= most) return text;
  const start = Math.floor(most * 0.3);
  return `${letters.slice(0, start).join("")}…${letters.slice(start + 1 - most).join("")}`;
}

/** The SVG of a figure. */
export function drawFigure(figure: Figure, measure: Measure): string {
  const { x, y, marks, title } = figure;
  // long numbers move the axis to the right, clear of its name
  const labels = Math.max(...numbersOf(y).map((value) => measure(y.label(value), 12)));
  const box: Box = {
    left: Math.max(78, 44 + Math.ceil(labels)),
    right: SIZE.width - 28,
    top: figure.legend === "inside" ? 52 : 80,
    bottom: SIZE.height - 58,
  };
  const write = (text: string, at: Place) => setText(text, at, measure);
  const across = Array.isArray(x) ? 1 : (x as NumberAxis).max - (x as NumberAxis).min;
  const from = Array.isArray(x) ? 0 : (x as NumberAxis).min;
  const place = {
    x: (value: number) => round(box.left + ((value - from) / across) * (box.right - box.left)),
    y: (value: number) => round(box.bottom - ((value - y.min) / (y.max - y.min)) * (box.bottom - box.top)),
  };
  const centre = (box.left + box.right) / 2;
  const middle = (box.top + box.bottom) / 2;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${SIZE.width}" height="${SIZE.height}" font-family="${FAMILY}">`,
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    write(title, { x: SIZE.width / 2, y: 27, size: 15 }),
    ...numbersOf(y).flatMap((value) => [
      line(box.left, place.y(value), box.right, place.y(value), GRID_LINE),
      line(box.left - 5, place.y(value), box.left, place.y(value), INK),
      write(y.label(value), { x: box.left - 8, y: place.y(value) + 4, size: 12, anchor: "end" }),
    ]),
    ...(Array.isArray(x)
      ? groupLabels(x as readonly string[], box, write)
      : numberLabels(x as NumberAxis, box, place.x, write)),
    ...marks.flatMap((mark) => drawMark(mark, marks, box, place, write)),
    `<rect x="${box.left}" y="${box.top}" width="${box.right - box.left}" height="${box.bottom - box.top}" fill="none" stroke="${INK}"/>`,
    Array.isArray(x) ? "" : write((x as NumberAxis).name, { x: centre, y: box.bottom + 40, size: 13 }),
    `<g transform="translate(22 ${middle}) rotate(-90)">${write(y.name, { x: 0, y: 4, size: 13 })}</g>`,
    ...(figure.legend === "inside"
      ? insideLegend(marks, box, measure, write)
      : legendAbove(marks, measure, write)),
    "</svg>",
  ].join("\n");
}

interface Place {
  readonly x: number;
  readonly y: number;
  readonly size: number;
  readonly anchor?: "start" | "middle" | "end";
}
type Write = (text: string, at: Place) => string;

const round = (value: number): number => Number(value.toFixed(2));
const escaped = (text: string): string =>
  text
    .replace(/\p{Cc}/gu, " ")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;");

function line(x1: number, y1: number, x2: number, y2: number, color: string): string {
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="${color}"/>`;
}

/** A text in pieces of one font each; a letter that the shipped font lacks is taken to be as wide as it is high. */
function setText(text: string, at: Place, measure: Measure): string {
  if (text === "") return "";
  const { x, y, size, anchor = "middle" } = at;
  const pieces = text.match(/[\u0020-\u045f…]+|[^\u0020-\u045f…]+/gu) ?? [];
  const widths = pieces.map((piece) =>
    SHIPPED.test(piece) ? measure(piece, size) : [...piece].length * size,
  );
  const whole = widths.reduce((sum, width) => sum + width, 0);
  let start = x - { start: 0, middle: whole / 2, end: whole }[anchor];
  return pieces
    .map((piece, index) => {
      const family = SHIPPED.test(piece) ? "" : ` font-family="${OTHERS}"`;
      const written = `<text x="${round(start)}" y="${round(y)}" font-size="${size}" fill="${INK}" xml:space="preserve"${family}>${escaped(piece)}</text>`;
      start += widths[index] ?? 0;
      return written;
    })
    .join("");
}

/** Multiples of the interval within an axis. */
function numbersOf({ min, max, interval }: NumberAxis): number[] {
  const first = Math.ceil(min / interval - 1e-9);
  const last = Math.floor(max / interval + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * interval).toPrecision(12)));
}

function numberLabels(axis: NumberAxis, box: Box, at: (value: number) => number, write: Write): string[] {
  return numbersOf(axis).flatMap((value) => [
    line(at(value), box.top, at(value), box.bottom, GRID_LINE),
    line(at(value), box.bottom, at(value), box.bottom + 5, INK),
    write(axis.label(value), { x: at(value), y: box.bottom + 19, size: 12 }),
  ]);
}

/** Middles of `count` groups that share the box's width. */
function groupMiddles(count: number, box: Box): { middles: number[]; width: number } {
  const width = (box.right - box.left) / count;
  return { middles: Array.from({ length: count }, (_, i) => box.left + (i + 0.5) * width), width };
}

function groupLabels(names: readonly string[], box: Box, write: Write): string[] {
  const { middles, width } = groupMiddles(names.length, box);
  const most = Math.max(6, Math.floor(width / 7.6));
  return names.map((name, i) =>
    write(shorten(name, most), { x: middles[i] as number, y: box.bottom + 20, size: 12 }),
  );
}

function drawMark(
  mark: Mark,
  all: readonly Mark[],
  box: Box,
  place: { x: (value: number) => number; y: (value: number) => number },
  write: Write,
): string[] {
  if (mark.kind === "bars") return drawBars(mark, all, box, place.y, write);
  const points = mark.points.map(([x, y]) => [place.x(x), place.y(y)] as const);
  if (mark.kind === "diamonds")
    return points.map(([x, y]) => `<path d="M${x - 5} ${y}l5 -5l5 5l-5 5z" fill="${mark.color}"/>`);
  const [only] = points;
  if (points.length === 1 && only !== undefined)
    return [`<circle cx="${only[0]}" cy="${only[1]}" r="3.5" fill="${mark.color}"/>`];
  const path = points.map(([x, y]) => `${x},${y}`).join(" ");
  return [
    `<polyline points="${path}" fill="none" stroke="${mark.color}" stroke-width="1.8" stroke-linejoin="round"/>`,
  ];
}

/** A bar a group, beside those of the other marks, with its value above it. */
function drawBars(
  mark: Mark & { kind: "bars" },
  all: readonly Mark[],
  box: Box,
  at: (value: number) => number,
  write: Write,
): string[] {
  const { middles, width } = groupMiddles(mark.heights.length, box);
  const bar = Math.min(48, (0.8 * width) / all.length);
  const left = (all.indexOf(mark) - all.length / 2) * bar;
  const size = bar < 34 ? 9 : 11;
  return mark.heights.flatMap((height, i) => {
    const x = round((middles[i] as number) + left);
    const y = at(height);
    return [
      `<rect x="${x + 1}" y="${y}" width="${round(bar - 2)}" height="${round(box.bottom - y)}" fill="${mark.color}"/>`,
      write(height.toFixed(3), { x: x + bar / 2, y: y - 5, size }),
    ];
  });
}

const swatch = (x: number, y: number, mark: Mark): string =>
  mark.kind === "diamonds"
    ? `<path d="M${x + 7} ${y}l5 -5l5 5l-5 5z" fill="${mark.color}"/>`
    : `<rect x="${x}" y="${mark.kind === "bars" ? y - 6 : y - 1.5}" width="24" height="${mark.kind === "bars" ? 12 : 3}" fill="${mark.color}"/>`;

function insideLegend(marks: readonly Mark[], box: Box, measure: Measure, write: Write): string[] {
  const width = 24 + 8 + Math.max(...marks.map(({ name }) => measure(name, 12))) + 20;
  const x = box.right - 10 - width;
  return [
    `<rect x="${round(x)}" y="${box.top + 8}" width="${round(width)}" height="${marks.length * 20 + 8}" rx="3" fill="#ffffff" fill-opacity="0.8" stroke="#cccccc"/>`,
    ...marks.flatMap((mark, i) => [
      swatch(round(x + 10), box.top + 22 + i * 20, mark),
      write(mark.name, { x: x + 42, y: box.top + 26 + i * 20, size: 12, anchor: "start" }),
    ]),
  ];
}

function legendAbove(marks: readonly Mark[], measure: Measure, write: Write): string[] {
  const widths = marks.map(({ name }) => 24 + 8 + measure(name, 12) + 24);
  let x = SIZE.width / 2 - widths.reduce((sum, width) => sum + width, -24) / 2;
  return marks.flatMap((mark, i) => {
    const drawn = [
      swatch(round(x), 53, mark),
      write(mark.name, { x: x + 32, y: 57, size: 12, anchor: "start" }),
    ];
    x += widths[i] ?? 0;
    return drawn;
  });
}

/** A round interval for about `lines` lines over a range. */
export function roundInterval(range: number, lines: number): number {
  const raw = range / lines;
  const power = 10 ** Math.floor(Math.log10(raw));
  return power * ([1, 2, 5, 10].find((factor) => factor * power >= raw * (1 - 1e-9)) ?? 10);
}
