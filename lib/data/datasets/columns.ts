// Which columns of a row hold its text: what "formatting", "columns" and "tags" of an entry in dataset_info.json mean.
// LLaMA-Factory's names and defaults; it reads no rows.

import { UserError } from "../../errors.js";

/** Columns of plain rows (alpaca); those that pre-training reads. */
export interface TextColumns {
  /** `formatting` in dataset_info.json: plain rows. */
  readonly formatting: "alpaca";
  /** The column of the text. */
  readonly prompt?: string;
  /** The column of what follows the prompt, behind a newline. */
  readonly query?: string;
  /** The column of earlier turns; the first, where there is one, is the document. */
  readonly history?: string;
}

/** The column of rows that hold a conversation, and what its messages call their parts. */
export interface MessageColumns {
  /** `formatting` in dataset_info.json: rows of messages. */
  readonly formatting: "sharegpt" | "openai";
  /** The column with the list of messages. */
  readonly messages: string;
  /** What the messages call their fields and roles. */
  readonly tags: MessageTags;
}

/** Which columns of a dataset's rows hold its text. */
export type Columns = TextColumns | MessageColumns;

/** The fields of a message and the names of its roles; a role without a name does not occur. */
export interface MessageTags {
  /** The field that says who speaks. */
  readonly role: string;
  /** The field that holds the text. */
  readonly content: string;
  /** The user's name in the role field. */
  readonly user: string | undefined;
  /** The assistant's name in the role field. */
  readonly assistant: string | undefined;
  /** A tool result's name in the role field. */
  readonly observation: string | undefined;
  /** A tool call's name in the role field. */
  readonly function: string | undefined;
  /** The system prompt's name in the role field. */
  readonly system: string | undefined;
}

const DEFAULT_TAGS: MessageTags = {
  role: "from",
  content: "value",
  user: "human",
  assistant: "gpt",
  observation: "observation",
  function: "function_call",
  system: "system",
};

/**
 * The columns of an entry.
 *
 * @param where the entry, for messages
 * @throws UserError for an unknown formatting, a name that is no text, and columns that name no text
 */
export function resolveColumns(where: string, entry: Record<string, unknown>): Columns {
  const formatting = entry.formatting ?? "alpaca";
  const given = asObject(entry.columns, `${where}: columns`, '{"prompt": "text"}');
  if (formatting === "alpaca") return textColumns(where, given);
  if (formatting !== "sharegpt" && formatting !== "openai") {
    throw new UserError(
      `${where}: formatting ${JSON.stringify(formatting)} is unknown; use alpaca (plain text), sharegpt or openai`,
    );
  }
  const messages =
    given === undefined ? "conversations" : textOf(given.messages, `${where}: columns.messages`);
  if (messages === undefined) {
    throw new UserError(
      `${where}: columns names no messages; add "messages", for instance {"messages": "conversations"}`,
    );
  }
  return { formatting, messages, tags: messageTags(where, entry.tags) };
}

/** The column of a document's date, `columns.date`: LLaMA-Factory has none, and passes it over. */
export function dateColumn(where: string, { columns }: Record<string, unknown>): string | undefined {
  const date = (columns as Record<string, unknown> | null | undefined)?.date;
  return textOf(date, `${where}: columns.date`);
}

function textColumns(where: string, given: Record<string, unknown> | undefined): TextColumns {
  if (given === undefined) return { formatting: "alpaca", prompt: "instruction", query: "input" };
  const named: { prompt?: string; query?: string; history?: string } = {};
  for (const role of ["prompt", "query", "history"] as const) {
    const column = textOf(given[role], `${where}: columns.${role}`);
    if (column !== undefined) named[role] = column;
  }
  if (Object.keys(named).length === 0) {
    throw new UserError(`${where}: columns names no text; add "prompt", for instance {"prompt": "text"}`);
  }
  return { formatting: "alpaca", ...named };
}

/** Once there are tags, those that are not named stand for nothing, as in LLaMA-Factory. */
function messageTags(where: string, value: unknown): MessageTags {
  const given = asObject(value, `${where}: tags`, '{"role_tag": "role", "content_tag": "content"}');
  if (given === undefined) return DEFAULT_TAGS;
  const tag = (name: keyof MessageTags) => textOf(given[`${name}_tag`], `${where}: tags.${name}_tag`);
  const [role, content] = [tag("role"), tag("content")];
  if (role === undefined || content === undefined) {
    throw new UserError(`${where}: tags must name role_tag and content_tag, the fields of a message`);
  }
  return {
    role,
    content,
    user: tag("user"),
    assistant: tag("assistant"),
    observation: tag("observation"),
    function: tag("function"),
    system: tag("system"),
  };
}

function asObject(value: unknown, where: string, example: string): Record<string, unknown> | undefined {
  if (value === undefined) return undefined;
  if (value !== null && typeof value === "object" && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw new UserError(`${where} must be an object such as ${example}`);
}

function textOf(value: unknown, where: string): string | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value === "string") return value;
  throw new UserError(`${where} must be a column's name`);
}
