// Recipes: the schema of every YAML key, and the doors that turn a file or an object into a typed Recipe.
export { DATE_FORM, parseDate, parseSpan } from "./dates.js";
export { describeKey, type KeyDescription, listKeys, nearestKey, recipeJsonSchema } from "./describe.js";
export type { Command, Group, KeyClass } from "./key.js";
export { type CurriculumScore, curriculumScore } from "./keys-curriculum.js";
export type { DateColumns } from "./keys-freshness.js";
export { framedTag, type LanguageTags, TAG_FORM } from "./language-tags.js";
export { type LoadedRecipe, loadRecipe, type RecipeOptions, resolveRecipe } from "./recipe.js";
export type { RopeParameters } from "./rope-parameters.js";
export { packsBySource } from "./rules-sampling.js";
export type { KeyName, Recipe, RecipeInput } from "./schema.js";
export { isSecret, withoutSecrets } from "./secret.js";
