// Every public name has a docstring, so that hovering over it says something: exported functions, constants, classes
// and types of the rooms below, the public members of their classes, and the fields of the types that they publish.
// What a docstring says is for a reader to judge; here only that there is one.
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const rooms = ["torch", "nn", "optim", "peft", "data", "models", "train", "inference", "evaluate"];

/** Rooms of which the doors publish a part, and that part. */
const parts = ["methods", "step", "hub", "config", "trackers", "distributed", "notebook", "assembly"];

/** Described where they are defined, in C++. */
const elsewhere = new Set(["Native"]);

const source = (text: string, file = "a.ts") =>
  ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS);

const has = (node: ts.Node, ...kinds: ts.SyntaxKind[]) =>
  ts.canHaveModifiers(node) && (ts.getModifiers(node) ?? []).some(({ kind }) => kinds.includes(kind));

const isExported = (node: ts.Node) => has(node, ts.SyntaxKind.ExportKeyword);

const isDocumented = (node: ts.Node) => ts.getJSDocCommentsAndTags(node).some(ts.isJSDoc);

/** What a file names to the outside, and whether each has a docstring; an overload serves for all of them. */
function namesOf(file: ts.SourceFile, withFields: (type: string) => boolean): Map<string, boolean> {
  const names = new Map<string, boolean>();
  const note = (name: string, node: ts.Node) => {
    if (!/(^|\.)[_#[]/.test(name)) names.set(name, (names.get(name) ?? false) || isDocumented(node));
  };
  for (const statement of file.statements) {
    if (!isExported(statement)) continue;
    if (ts.isVariableStatement(statement)) {
      for (const { name } of statement.declarationList.declarations) note(name.getText(), statement);
    } else if (ts.isFunctionDeclaration(statement)) {
      note(statement.name!.text, statement);
    } else if (ts.isClassDeclaration(statement) || ts.isInterfaceDeclaration(statement)) {
      const type = statement.name!.text;
      note(type, statement);
      if (ts.isInterfaceDeclaration(statement) && !withFields(type)) continue;
      for (const member of statement.members) {
        if (
          member.name === undefined ||
          has(member, ts.SyntaxKind.PrivateKeyword, ts.SyntaxKind.ProtectedKeyword)
        )
          continue;
        note(`${type}.${member.name.getText()}`, member);
      }
    } else if (ts.isTypeAliasDeclaration(statement)) note(statement.name.text, statement);
  }
  return names;
}

/** The names that a room's index.ts passes on from each of its files; undefined stands for all of a file's. */
function published(room: string): Map<string, Set<string> | undefined> {
  const folder = path.join(root, "lib", room);
  const found = new Map<string, Set<string> | undefined>();
  const read = (index: string) => {
    for (const statement of source(readFileSync(index, "utf8")).statements) {
      if (!ts.isExportDeclaration(statement) || statement.moduleSpecifier === undefined) continue;
      const from = (statement.moduleSpecifier as ts.StringLiteral).text.replace(/\.js$/, ".ts");
      const file = path.join(path.dirname(index), from);
      const { exportClause } = statement;
      if (path.basename(file) === "index.ts") read(file);
      else if (exportClause === undefined || ts.isNamespaceExport(exportClause)) found.set(file, undefined);
      else if (!(found.has(file) && found.get(file) === undefined)) {
        const names = exportClause.elements.map(({ name, propertyName }) => (propertyName ?? name).text);
        found.set(file, new Set([...(found.get(file) ?? []), ...names]));
      }
    }
  };
  read(path.join(folder, "index.ts"));
  return found;
}

function roomNames(room: string): Map<string, boolean> {
  const all = new Map<string, boolean>();
  const folder = path.join(root, "lib", room);
  const open = published(room);
  for (const entry of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (!entry.endsWith(".ts")) continue;
    const file = path.join(folder, entry);
    const isOpen = (type: string) =>
      !elsewhere.has(type) && open.has(file) && (open.get(file)?.has(type) ?? true);
    for (const [name, documented] of namesOf(source(readFileSync(file, "utf8"), file), isOpen))
      all.set(`lib/${room}/${entry.replaceAll("\\", "/")}: ${name}`, documented);
  }
  return all;
}

/** The names that the package's doors pass on, by room. */
function publishedByDoors(): Map<string, Set<string>> {
  const doors = readdirSync(path.join(root, "lib/public")).map((file) => path.join(root, "lib/public", file));
  const found = new Map<string, Set<string>>();
  for (const door of [path.join(root, "lib/index.ts"), ...doors]) {
    for (const statement of source(readFileSync(door, "utf8")).statements) {
      if (!ts.isExportDeclaration(statement) || statement.moduleSpecifier === undefined) continue;
      const room = /^\.{1,2}\/(\w+)\//.exec((statement.moduleSpecifier as ts.StringLiteral).text)?.[1];
      const { exportClause } = statement;
      if (room === undefined || exportClause === undefined || !ts.isNamedExports(exportClause)) continue;
      const names = exportClause.elements.map(({ name, propertyName }) => (propertyName ?? name).text);
      found.set(room, new Set([...(found.get(room) ?? []), ...names]));
    }
  }
  return found;
}

describe("docstrings", () => {
  it.each(rooms)("every public name of lib/%s has one", (room) => {
    const names = roomNames(room);
    expect(names.size).toBeGreaterThan(10);
    expect([...names].filter(([, documented]) => !documented).map(([name]) => name)).toEqual([]);
  });

  it.each(parts)("every name of lib/%s that a door publishes has one", (room) => {
    const open = publishedByDoors().get(room) ?? new Set();
    const names = [...roomNames(room)].filter(([name]) => open.has(/: (\w+)/.exec(name)?.[1] ?? ""));
    expect(names.length).toBeGreaterThan(0);
    expect(names.filter(([, documented]) => !documented).map(([name]) => name)).toEqual([]);
  });

  it("every event of a run has one, and each of its fields", () => {
    const file = path.join(root, "lib/events.ts");
    const names = namesOf(source(readFileSync(file, "utf8"), file), () => true);
    expect([...names].filter(([, documented]) => !documented).map(([name]) => name)).toEqual([]);
  });

  it("looks at the operators, at Tensor's members and at published settings", () => {
    const torch = [...roomNames("torch").keys()];
    expect(torch.filter((name) => name.startsWith("lib/torch/operators/ops.ts: ")).length).toBeGreaterThan(
      150,
    );
    expect(torch.filter((name) => name.startsWith("lib/torch/tensor.ts: Tensor.")).length).toBeGreaterThan(
      110,
    );
    expect([...roomNames("nn").keys()]).toContain("lib/nn/linear.ts: LayerOptions.bias");
  });

  it("finds what lacks one, and leaves out what is not public", () => {
    const text = `
      // no docstring
      export const bare = 1;
      /** Has one. */
      export function documented() {}
      function internal() {}
      /** A class. */
      export class C {
        // no docstring
        get bare() { return 1; }
        #hidden = 1;
        _handle = 1;
        private own = 1;
        /** Served by its first form. */
        many(): void;
        many(x?: number): void {}
      }`;
    expect([...namesOf(source(text), () => true)]).toEqual([
      ["bare", false],
      ["documented", true],
      ["C", true],
      ["C.bare", false],
      ["C.many", true],
    ]);
  });
});
