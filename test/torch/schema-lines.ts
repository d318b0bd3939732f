// Holds the typed operators, lines like `op<(self: Tensor, dim: number) => Tensor>("aten::x")`, against the schemas
// that libtorch reports: names, order, arity, types, keyword-only arguments, results. Says what is wrong with each.
import ts from "typescript";
import { type OperatorInfo, type Parameter, schemaOf } from "../../lib/torch/index.js";
import { camelCase } from "../../lib/torch/operators/operator.js";

export interface Line {
  operator: string;
  complaints: string[];
}

/** Every `op<...>("...")` of a file, checked. */
export function checkLines(program: ts.Program, file: ts.SourceFile): Line[] {
  const checker = program.getTypeChecker();
  const lines: Line[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && node.expression.getText(file) === "op") {
      const [name] = node.arguments;
      const [type] = node.typeArguments ?? [];
      if (name && ts.isStringLiteral(name)) {
        const complaints = type
          ? new LineCheck(checker, name.text, node).run(checker.getTypeFromTypeNode(type))
          : ["has no type"];
        lines.push({ operator: name.text, complaints });
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return lines;
}

/** What a TypeScript type may hold, in words: Tensor, number, boolean, bigint, string, dtype, Generator, X[], null. */
class Words {
  constructor(readonly checker: ts.TypeChecker) {}

  of(type: ts.Type): Set<string> {
    const members = type.isUnion() ? type.types : [type];
    const literals = members
      .filter((member) => member.isStringLiteral())
      .map((member) => (member as ts.StringLiteralType).value);
    const words = new Set(
      members.filter((member) => !member.isStringLiteral()).map((member) => this.word(member)),
    );
    words.delete("undefined");
    if (literals.includes("bfloat16")) words.add("dtype");
    else if (literals.length > 0) words.add("string");
    return words;
  }

  private word(type: ts.Type): string {
    const { flags } = type;
    if (flags & ts.TypeFlags.Undefined) return "undefined";
    if (flags & ts.TypeFlags.Null) return "null";
    if (flags & ts.TypeFlags.Void) return "void";
    if (flags & ts.TypeFlags.NumberLike) return "number";
    if (flags & ts.TypeFlags.BooleanLike) return "boolean";
    if (flags & ts.TypeFlags.BigIntLike) return "bigint";
    if (flags & ts.TypeFlags.StringLike) return "string";
    if (this.checker.isTupleType(type)) {
      const items = this.checker.getTypeArguments(type as ts.TypeReference);
      return `[${items.map((item) => [...this.of(item)].join("|")).join(", ")}]`;
    }
    if (this.checker.isArrayType(type)) {
      const [item] = this.checker.getTypeArguments(type as ts.TypeReference);
      const words = [...this.of(item as ts.Type)].sort();
      return words.length > 1 ? `(${words.join("|")})[]` : `${words[0]}[]`;
    }
    return type.symbol?.name ?? this.checker.typeToString(type);
  }
}

/** Words that each schema type takes: the first must be there, the others may. */
const takes: Record<string, readonly [string, ...string[]]> = {
  Tensor: ["Tensor", "number"],
  "List[Tensor]": ["Tensor[]"],
  "List[Optional[Tensor]]": ["(Tensor|null)[]"],
  int: ["number", "bigint"],
  float: ["number"],
  number: ["number", "bigint", "boolean"],
  bool: ["boolean"],
  str: ["string"],
  ScalarType: ["dtype"],
  Device: ["string"],
  Generator: ["Generator"],
  "List[int]": ["number[]"],
  "List[float]": ["number[]"],
  "List[bool]": ["boolean[]"],
  "List[number]": ["number[]"],
};

class LineCheck {
  private readonly words: Words;
  private readonly complaints: string[] = [];
  private readonly given = new Set<string>();
  private info!: OperatorInfo;

  constructor(
    private readonly checker: ts.TypeChecker,
    private readonly name: string,
    private readonly place: ts.Node,
  ) {
    this.words = new Words(checker);
  }

  run(type: ts.Type): string[] {
    try {
      this.info = schemaOf(this.name);
    } catch (error) {
      return [(error as Error).message];
    }
    const [signature, ...others] = type.getCallSignatures();
    if (signature === undefined || others.length > 0) return ["is not one function type"];
    signature.parameters.forEach((symbol, index) => {
      if (symbol.name === "options") this.options(symbol, index === signature.parameters.length - 1);
      else this.positional(symbol, index);
    });
    for (const parameter of this.info.parameters) {
      if (!parameter.hasDefault && !parameter.optional && !this.given.has(parameter.name)) {
        this.complaints.push(`'${parameter.name}' is required and missing`);
      }
    }
    this.result(signature.getReturnType());
    return this.complaints;
  }

  private isOptional(symbol: ts.Symbol): boolean {
    const declared = symbol.valueDeclaration;
    const marked = declared !== undefined && (ts.isParameter(declared) || ts.isPropertySignature(declared));
    return marked && declared.questionToken !== undefined;
  }

  private positional(symbol: ts.Symbol, index: number): void {
    const parameter = this.info.parameters[index];
    if (parameter === undefined) {
      this.complaints.push(`'${symbol.name}' is one argument too many`);
      return;
    }
    if (symbol.name !== parameter.name && symbol.name !== camelCase(parameter.name)) {
      this.complaints.push(
        `argument ${index} is '${symbol.name}' here and '${parameter.name}' in the schema`,
      );
    }
    if (parameter.keywordOnly) this.complaints.push(`'${parameter.name}' goes into the options`);
    this.value(symbol, parameter);
  }

  private options(symbol: ts.Symbol, last: boolean): void {
    if (!last) this.complaints.push("the options are not last");
    const type = this.checker.getNonNullableType(this.checker.getTypeOfSymbolAtLocation(symbol, this.place));
    const properties = type.getProperties();
    if (properties.length === 0) this.complaints.push("the options are empty");
    let needed = false;
    for (const property of properties) {
      const parameter = this.info.parameters.find(
        ({ name }) => name === property.name || camelCase(name) === property.name,
      );
      if (parameter === undefined) this.complaints.push(`the schema has no option '${property.name}'`);
      else if (this.given.has(parameter.name)) this.complaints.push(`'${property.name}' is given twice`);
      else this.value(property, parameter);
      needed ||= parameter !== undefined && !parameter.hasDefault && !parameter.optional;
    }
    if (needed && this.isOptional(symbol)) this.complaints.push("the options hold a required argument");
  }

  private value(symbol: ts.Symbol, parameter: Parameter): void {
    this.given.add(parameter.name);
    const type = this.checker.getTypeOfSymbolAtLocation(symbol, this.place);
    const words = this.words.of(type);
    const inner = parameter.type.replace(/^Optional\[(.*)\]$/, "$1");
    const [must, ...may] = takes[inner] ?? ["nothing that is known here"];
    const sized = new RegExp(`(Sym)?[Ii]nt\\[\\d+\\]\\??\\s+${parameter.name}\\b`).test(this.info.schema);
    const known = new Set([
      must,
      ...may,
      ...(parameter.optional ? ["null"] : []),
      ...(sized ? ["number"] : []),
    ]);
    const unknown = [...words].filter((word) => !known.has(word));
    if (unknown.length > 0 || !words.has(must)) {
      this.complaints.push(
        `'${symbol.name}' is ${[...words].join(" | ")} here and ${parameter.type} in the schema`,
      );
    }
    const mayMiss = this.isOptional(symbol) || this.holdsUndefined(type);
    if (mayMiss && !parameter.hasDefault && !parameter.optional) {
      this.complaints.push(`'${symbol.name}' may be left out here and not in the schema`);
    }
  }

  private holdsUndefined(type: ts.Type): boolean {
    return (type.isUnion() ? type.types : [type]).some(
      (member) => (member.flags & ts.TypeFlags.Undefined) !== 0,
    );
  }

  private result(type: ts.Type): void {
    const written = this.info.schema.slice(this.info.schema.lastIndexOf(" -> ") + 4);
    const one = (text: string): string => {
      const base = text
        .trim()
        .replace(/\(\w+!?(\s*->\s*\*)?\)/, "")
        .split(" ")[0] as string;
      return base === "bool" ? "boolean" : /^(int|float|SymInt|Scalar)$/.test(base) ? "number" : base;
    };
    const tuple = /^\((.*)\)$/.exec(written);
    const expected =
      tuple === null
        ? one(written)
        : tuple[1] === ""
          ? "void"
          : `[${(tuple[1] as string).split(",").map(one).join(", ")}]`;
    const actual = [...this.words.of(type)].join(" | ");
    if (actual !== expected) this.complaints.push(`returns ${actual} here and ${expected} in the schema`);
  }
}
