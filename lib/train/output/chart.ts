// A chart as a PNG, drawn by ECharts without a browser. Both libraries are optional dependencies, 70 MB of an
// installation, and loaded only when a picture is drawn: they would cost every start a quarter of a second.
import { fileURLToPath } from "node:url";
import type { EChartsOption } from "echarts";
import { UserError } from "../../errors.js";

const FONT = fileURLToPath(new URL("../../../assets/dejavu-sans-subset.ttf", import.meta.url));
/** The font that is shipped, a chart's only one unless its words need another. */
export const FAMILY = "DejaVu Sans";
/** The font that is shipped ends with the Cyrillic alphabet. */
const LAST_LETTER = "\u045f";
/** The colour of text and axes. */
export const INK = "#333333";

/** What a run says instead of drawing. */
export const NO_CHARTS =
  "no picture is drawn: the packages echarts and @resvg/resvg-js are not installed; npm install echarts @resvg/resvg-js adds them";

function libraries() {
  return Promise.all([import("echarts"), import("@resvg/resvg-js")]).catch(() => undefined);
}

/** Whether what draws is installed and has a binary for this system. */
export async function canDraw(): Promise<boolean> {
  return (await libraries()) !== undefined;
}

/** Draws a chart as a PNG of 1280 x 960 pixels (640 x 480 at twice the density); `words` are all that it shows.
 * Throws UserError where the libraries are not there. */
export async function drawChart(option: EChartsOption, words: string): Promise<Uint8Array> {
  const found = await libraries();
  if (found === undefined) throw new UserError(NO_CHARTS);
  const [echarts, { Resvg }] = found;
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: 640, height: 480 });
  let svg: string;
  try {
    chart.setOption({ textStyle: { fontFamily: FAMILY, color: INK }, ...option });
    svg = chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
  // a folder may have a Chinese name: only then are the system's fonts worth the search
  const exotic = [...words].some((letter) => letter > LAST_LETTER && letter !== "…");
  const font = { fontFiles: [FONT], loadSystemFonts: exotic, defaultFontFamily: FAMILY };
  return new Resvg(svg, { font, fitTo: { mode: "zoom", value: 2 } }).render().asPng();
}
