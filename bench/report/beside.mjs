// Tables of several kinds of processor as one: what each says of a row stands side by side, or, where that would be too
// wide, one below the other. Markdown only; what the cells say is report_sections.mjs.

/** A Markdown table. */
export function markdown(head, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), `|${"---|".repeat(head.length)}`, ...rows.map(line)].join("\n");
}

/** Columns of one processor, beyond the row's name, that still fit side by side. */
const NARROW = 5;

/** The first cells of all tables, in the order in which they first appear. */
const namesOf = (tables) => [...new Set(tables.flatMap(({ rows }) => rows.map(([name]) => name)))];

function sideBySide(tables) {
  const [{ head }] = tables.map(({ table }) => table);
  const columns = tables.flatMap(({ processor }) => [`${processor}: ${head[1]}`, ...head.slice(2)]);
  const blank = head.slice(1).map(() => "");
  const rows = namesOf(tables.map(({ table }) => table)).map((name) => [
    name,
    ...tables.flatMap(({ table }) => table.rows.find(([other]) => other === name)?.slice(1) ?? blank),
  ]);
  return markdown([head[0], ...columns], rows);
}

function stacked(tables) {
  const [{ head }] = tables.map(({ table }) => table);
  const rows = namesOf(tables.map(({ table }) => table)).flatMap((name) =>
    tables.flatMap(({ processor, table }) =>
      table.rows.filter(([other]) => other === name).map((row) => [name, processor, ...row.slice(1)]),
    ),
  );
  return markdown([head[0], "processor", ...head.slice(1)], rows);
}

/**
 * The blocks of a section, measured on one or more kinds of processor.
 * @param {{processor: string, blocks: Record<string, {head: string[], rows: string[][]} | string>}[]} measured blocks by
 *   name, a table (first column: the row's name) or a sentence
 */
export function beside(measured) {
  const names = [...new Set(measured.flatMap(({ blocks }) => Object.keys(blocks)))];
  const blockOf = (name) => {
    const given = measured.flatMap(({ processor, blocks }) =>
      blocks[name] === undefined ? [] : [{ processor, table: blocks[name] }],
    );
    if (typeof given[0].table === "string")
      return given.map(({ processor, table }) => `${processor}: ${table}`).join("\n\n");
    return given[0].table.head.length - 1 > NARROW ? stacked(given) : sideBySide(given);
  };
  return names.map(blockOf).join("\n\n");
}
