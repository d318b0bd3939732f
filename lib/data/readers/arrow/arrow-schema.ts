// The schema of an Arrow file, walked over before apache-arrow builds columns from it: that follows every count and every
// place, to a table that has itself for a child as well. Only whether they can be followed; what the columns are is
// apache-arrow's to say. Fields by their numbers in Schema.fbs of the Arrow format.

import type { Table } from "./flatbuffer-table.js";

/** Columns in columns. */
const DEEPEST = 64;

/** A field of a schema. */
const FIELD = { name: 0, typeKind: 2, type: 3, dictionary: 4, children: 5, metadata: 6 };
const SCHEMA = { fields: 1, metadata: 2, features: 3 };
/** The types that have a list, as their field 1: bytes of one entry, by the type's kind: a timestamp's zone, a union's numbers. */
const LISTS: Readonly<Record<number, number>> = { 10: 1, 14: 4 };

/** @throws Error saying what is wrong, without the file's name */
export function checkSchema(schema: Table | undefined): void {
  if (schema === undefined) throw new Error("it has no schema");
  const most = schema.messageBytes / 4;
  let seen = 0;
  const check = (fields: readonly Table[], depth: number): void => {
    if (depth > DEEPEST) throw new Error(`columns inside columns, more than ${DEEPEST} deep`);
    for (const field of fields) {
      // each has bytes to itself, unless it is counted twice
      if (++seen > most) throw new Error("a column that holds itself");
      field.checkList(FIELD.name);
      const size = LISTS[field.byte(FIELD.typeKind)];
      if (size !== undefined) field.table(FIELD.type)?.checkList(1, size);
      field.table(FIELD.dictionary)?.long(0);
      checkPairs(field, FIELD.metadata);
      check(field.tables(FIELD.children), depth + 1);
    }
  };
  check(schema.tables(SCHEMA.fields), 1);
  checkPairs(schema, SCHEMA.metadata);
  schema.checkList(SCHEMA.features, 8);
}

/** Pairs of texts, as metadata are. @throws Error where one is longer than the message */
export function checkPairs(table: Table, index: number): void {
  for (const pair of table.tables(index)) {
    pair.checkList(0);
    pair.checkList(1);
  }
}
