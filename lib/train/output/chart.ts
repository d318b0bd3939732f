// A figure as a PNG, by resvg: no browser and no system library. It is an optional dependency, loaded only when a picture is
// drawn.
import { fileURLToPath } from "node:url";
import { UserError } from "../../errors.js";
import { drawFigure, FAMILY, type Figure, type Measure, needsOtherFonts } from "./figure.js";

const FONT = fileURLToPath(new URL("../../../assets/dejavu-sans-subset.ttf", import.meta.url));

/** What a run says instead of drawing. */
export const NO_CHARTS =
  "no picture is drawn: the package @resvg/resvg-js is not installed; npm install @resvg/resvg-js adds it";

type Renderer = typeof import("@resvg/resvg-js").Resvg;

function renderer(): Promise<Renderer | undefined> {
  return import("@resvg/resvg-js").then(({ Resvg }) => Resvg).catch(() => undefined);
}

/** Whether what draws is installed and has a binary for this system. */
export async function canDraw(): Promise<boolean> {
  return (await renderer()) !== undefined;
}

/** Draws a figure as a PNG of 1280 x 960 pixels (640 x 480 at twice the density). Throws UserError where resvg is not there. */
export async function drawChart(figure: Figure): Promise<Uint8Array> {
  const Resvg = await renderer();
  if (Resvg === undefined) throw new UserError(NO_CHARTS);
  const svg = drawFigure(figure, measureWith(Resvg));
  // the system's fonts take half a second to search: only for letters that the shipped one lacks
  const words = [figure.title, figure.y.name, ...(Array.isArray(figure.x) ? figure.x : [])].join("");
  return new Resvg(svg, { font: fonts(needsOtherFonts(words)), fitTo: { mode: "zoom", value: 2 } })
    .render()
    .asPng();
}

const fonts = (loadSystemFonts: boolean) => ({
  fontFiles: [FONT],
  loadSystemFonts,
  defaultFontFamily: FAMILY,
});

/** Widths as the renderer sets the text: between two bars, since a box around ink leaves out spaces. */
function measureWith(Resvg: Renderer): Measure {
  const known = new Map<string, number>();
  const wide = (text: string) => {
    const written = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="9000" height="200"><text x="0" y="150" font-family="${FAMILY}" font-size="100" xml:space="preserve">|${written}|</text></svg>`;
    return new Resvg(svg, { font: fonts(false) }).getBBox()?.width ?? 0;
  };
  return (text, size) => {
    const width = known.get(text) ?? wide(text) - (known.get("") ?? wide(""));
    known.set(text, width);
    return (width * size) / 100;
  };
}
