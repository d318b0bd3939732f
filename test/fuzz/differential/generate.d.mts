// Types of generate.mjs, for the test.
export interface Case {
  index: number;
  kind: "rows" | "tokenizer" | "model" | "adapter";
}
export function makeCase(seed: number, index: number, folder: string): Case;
