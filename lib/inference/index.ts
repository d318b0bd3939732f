// A trained model at work: opened with its adapters, generating, written merged. Held-out text is scored in evaluate/.

export { exportModel } from "./export.js";
export { type GenerateOptions, generate, generateTokens, processScores } from "./generate.js";
export { type InferenceOptions, openModel } from "./open-model.js";
