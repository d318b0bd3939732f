// What a TypeScript notebook (tslab) needs beside the rest: a run in a cell, and its curve as a picture. It knows
// events and results; how anything is computed it does not.

export { type Curve, drawCurve } from "../train/output/plot.js";
export { type CellDisplay, RunView } from "./run-view.js";
export { trainInCell } from "./train-in-cell.js";
