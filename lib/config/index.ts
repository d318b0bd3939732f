// Recipes: the schema of every YAML key, and the doors that turn a file or an object into a typed Recipe.

export { describeKey, type KeyDescription, listKeys, nearestKey, recipeJsonSchema } from "./describe.js";
export type { Command, Group, KeyClass } from "./key.js";
export { type CurriculumScore, curriculumScore } from "./keys/curriculum.js";
export type { DateColumns } from "./keys/time-decay.js";
export { type LoadedRecipe, loadRecipe, type RecipeOptions, resolveRecipe } from "./recipe.js";
export { packsBySource } from "./rules/sampling.js";
export type { KeyName, Recipe, RecipeInput } from "./schema.js";
export { isSecret, withoutSecrets } from "./secret.js";
export { contextParts } from "./values/context.js";
export { DATE_FORM, parseDate, parseSpan } from "./values/dates.js";
export { framedTag, type LanguageTags, TAG_FORM } from "./values/language-tags.js";
export type { RopeParameters } from "./values/rope-parameters.js";
export { type Sharding, shardingOf } from "./values/sharding.js";
