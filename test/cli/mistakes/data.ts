// Mistakes in dataset_info.json and in the corpus.
import type { Mistake } from "./room.js";

const ROWS = (count: number) =>
  Array.from({ length: count }, (_, i) => JSON.stringify({ text: `row ${i} of the corpus` }));

export const DATA: Mistake[] = [
  {
    name: "unknown dataset",
    process: true,
    keys: { dataset: "data1" },
    line: /dataset: data1 is not defined in data\/dataset_info\.json, which has: one, two/,
  },
  {
    name: "no dataset_info.json",
    make: (room) => room.remove("data/dataset_info.json"),
    line: /data\/dataset_info\.json does not exist; set dataset_dir to the folder that holds/,
  },
  {
    name: "dataset_info.json with broken quotes",
    process: true,
    make: (room) =>
      room.write("data/dataset_info.json", '{\n  "one": {\n    "file_name": “one.jsonl”\n  }\n}\n'),
    line: /data\/dataset_info\.json:3: .*quote/,
  },
  {
    name: "dataset_info.json with a comma too many",
    make: (room) =>
      room.write("data/dataset_info.json", '{\n  "one": {\n    "file_name": "one.jsonl",\n  }\n}\n'),
    line: /data\/dataset_info\.json:4: .*comma/,
  },
  {
    name: "no such data file",
    make: (room) => room.remove("data/one.jsonl"),
    line: /data\/dataset_info\.json: one: file data\/one\.jsonl does not exist; /,
  },
  {
    name: "a name with a line's end and a terminal's code in it",
    make: (room) => room.json("data/dataset_info.json", { one: { file_name: "a\nb\u001b[31m.jsonl" } }),
    line: /one: file data\/a\\nb\\u001b\[31m\.jsonl does not exist; /,
  },
  {
    name: "a data file of another kind",
    make: (room) => {
      room.json("data/dataset_info.json", { one: { file_name: "one.docx" } });
      room.write("data/one.docx", "PK");
    },
    line: /data\/one\.docx is not of a supported type: \.arrow, \.csv, .*; /,
  },
  {
    name: "a malformed line",
    process: true,
    make: (room) => room.corpus([...ROWS(2), '{"text": "a"', ...ROWS(2)].join("\n")),
    line: /data\/one\.jsonl:3: malformed JSON .*each row is one object/,
  },
  {
    name: "a JSON array broken in the middle",
    make: (room) => room.corpus('[\n{"text": "a"},\n{"text": "b"}\n{"text": "c"}\n]\n'),
    line: /data\/one\.jsonl:4: malformed JSON: a comma or the closing \] is missing after a row/,
  },
  {
    name: "a JSON array cut short",
    make: (room) => room.corpus('[\n{"text": "a"},\n{"text": "b'),
    line: /data\/one\.jsonl:3: .*cut short/,
  },
  {
    name: "plain text as data",
    make: (room) => room.corpus("once upon a time\n"),
    line: /data\/one\.jsonl:1: malformed JSON .*one object/,
  },
  {
    name: "a missing column",
    make: (room) => room.corpus('{"content": "a"}\n{"content": "b"}\n'),
    line: /data\/one\.jsonl: column "text" is missing; the rows have: content; set "columns": \{"prompt": "content"\}/,
  },
  {
    name: "a number as text",
    make: (room) => room.corpus('{"text": "a"}\n{"text": 5}\n'),
    line: /data\/one\.jsonl:2: column "text" must be text, not a number; /,
  },
  {
    name: "a list as text",
    make: (room) => room.corpus('{"text": ["a", "b"]}\n'),
    line: /data\/one\.jsonl:1: column "text" must be text, not an array; /,
  },
  { name: "an empty corpus", make: (room) => room.corpus(""), line: /dataset: one has no rows; add / },
  { name: "an empty array", make: (room) => room.corpus("[]"), line: /dataset: one has no rows; add / },
  {
    name: "a corpus too small for a block",
    process: true,
    make: (room) => room.corpus('{"text": "a"}\n'),
    line: /dataset: the 1 document of one \(\d+ tokens\) .* no block of 48; lower cutoff_len/,
  },
  {
    name: "GBK bytes",
    make: (room) =>
      room.corpus(
        Buffer.concat([
          Buffer.from('{"text": "a"}\n{"text": "'),
          Buffer.from([0xb9, 0xc5, 0xce, 0xc4]),
          Buffer.from('"}\n'),
        ]),
      ),
    line: /data\/one\.jsonl:2: not valid UTF-8 but GBK/,
  },
  {
    name: "UTF-16",
    make: (room) => room.corpus(Buffer.from('\ufeff{"text": "a"}\n', "utf16le")),
    line: /data\/one\.jsonl:1: not valid UTF-8 but UTF-16/,
  },
];
