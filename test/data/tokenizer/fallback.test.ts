// Where the package `tokenizers` has no binary for the system, importing it throws: the JavaScript engine takes over.

import path from "node:path";
import { expect, it, vi } from "vitest";
import { loadTokenizer } from "../../../lib/data/index.js";

vi.mock("tokenizers", () => {
  throw new Error("Cannot find native binding");
});

const SOURCE = path.join(import.meta.dirname, "../../fixtures/data/tokenizer");

it("takes the JavaScript engine by itself, and refuses only when the native one was asked for", async () => {
  const tokenizer = await loadTokenizer(SOURCE);
  expect(tokenizer.engine).toBe("script");
  expect(tokenizer.eosId).toBe(502);
  await expect(loadTokenizer(SOURCE, { engine: "native" })).rejects.toThrow(
    /tokenizer\.json: cannot be used: the package tokenizers has no binary for this system/,
  );
});
