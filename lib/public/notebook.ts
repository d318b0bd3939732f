// `qwen-pt/notebook`: runs and curves in the cells of a TypeScript notebook.

export { type CellDisplay, type Curve, drawCurve, RunView, trainInCell } from "../notebook/index.js";
