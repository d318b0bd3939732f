// The Chinese descriptions of the recipe's keys: a line for every key there is and for no other, and types, defaults and
// reasons that are all translated.
import { describe, expect, it } from "vitest";
import { listKeys } from "../../lib/config/index.js";
import { chineseKeys, keyInChinese } from "../../lib/languages/index.js";

const keys = listKeys();
const chinese = /[\u4e00-\u9fff]/;

describe("a key of a recipe", () => {
  it("has a line in Chinese", () => {
    expect(chineseKeys().sort()).toEqual(keys.map(({ name }) => name).sort());
    const products = ["Adam-mini。", "HyperParallel。"]; // names, which are the same in every language
    const left = keys.filter(({ doc }) => !chinese.test(doc)).map((key) => keyInChinese(key).doc);
    expect(left.filter((doc) => !chinese.test(doc) && !products.includes(doc))).toEqual([]);
  });

  it("has its type, its default and its reason in Chinese where they are words", () => {
    const words = /[a-z]+ [a-z]+ [a-z]+/i;
    const said = keys.map(keyInChinese).flatMap((key) => [key.type, key.default, key.reason ?? ""]);
    expect(said.filter((text) => words.test(text) && !chinese.test(text))).toEqual([]);
  });

  it("keeps the names of other keys in its description", () => {
    const names = (text: string) => [...new Set(text.match(/\b[a-z]+_[a-z_]+\b/g) ?? [])].sort();
    const differ = keys.filter((key) => `${names(keyInChinese(key).doc)}` !== `${names(key.doc)}`);
    expect(differ.map(({ name }) => name)).toEqual([]);
  });
});
