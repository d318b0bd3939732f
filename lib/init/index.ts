// A first recipe: what the data is, what fits into memory, and the text; exports only.
export { type DataPlan, planData } from "./dataset.js";
export { foundData } from "./found-data.js";
export {
  costOf,
  type Machine,
  METHODS,
  type Method,
  memoryNeeded,
  parametersIn,
  type Saving,
  savingFor,
  suggestMethod,
} from "./memory.js";
export { type Answers, recipeText, scalar } from "./recipe.js";
