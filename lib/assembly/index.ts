// From a recipe to a model that can be trained: fetched, built, with rows for new tokens, with an adapter or with its
// trained part. Data, steps and files of a run belong to train/.

export { chooseDevice, modelConfig } from "./model.js";
