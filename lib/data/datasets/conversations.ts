// The text that pre-training takes from a row with a conversation: its first message, without the system's. The whole
// conversation is checked as LLaMA-Factory's converters check it, which pass a broken one on as empty and so stop the
// run; here it is refused with its place.

import { UserError } from "../../errors.js";
import type { MessageColumns, MessageTags } from "./columns.js";

interface Message {
  readonly role: unknown;
  readonly content: unknown;
  readonly callsTools: boolean;
}

/** What openai's format puts between the answers of several tools. */
const BETWEEN_ANSWERS = "\n</tool_response>\n<tool_response>\n";

/**
 * The content of a conversation's first message. It may be anything that the row holds: the caller wants text.
 *
 * @param where the row and column, for messages
 * @throws UserError for what is no conversation in turns
 */
export function firstMessage(value: unknown, columns: MessageColumns, where: string): unknown {
  const { tags } = columns;
  let messages = messagesOf(value, tags, where);
  if (tags.system !== undefined && messages[0]?.role === tags.system) messages = messages.slice(1);
  if (columns.formatting === "openai") messages = joinAnswers(messages, tags, where);
  const asking = [tags.user, tags.observation];
  const answering = [tags.assistant, tags.function];
  for (const [turn, { role }] of messages.entries()) {
    const accepted = (turn % 2 === 0 ? asking : answering).filter((name) => name !== undefined);
    if ((accepted as unknown[]).includes(role)) continue;
    throw new UserError(
      `${where}: message ${turn + 1} is of ${JSON.stringify(role ?? null)}, where ${accepted.join(" or ")} is expected; ` +
        "correct the row, or the tags in dataset_info.json",
    );
  }
  if (messages.length === 0 || messages.length % 2 !== 0) {
    throw new UserError(
      `${where}: the conversation has ${messages.length === 0 ? "no message" : "no last answer"}; complete the row, or leave it out`,
    );
  }
  return messages[0]!.content;
}

function messagesOf(value: unknown, tags: MessageTags, where: string): Message[] {
  if (!Array.isArray(value)) {
    throw new UserError(
      `${where}: must be a list of messages; name the column in "columns": {"messages": ...}`,
    );
  }
  return value.map((message: unknown) => {
    const fields = (message !== null && typeof message === "object" ? message : {}) as Record<
      string,
      unknown
    >;
    const field = (name: string) => (Object.hasOwn(fields, name) ? fields[name] : undefined);
    const role = field(tags.role);
    const calls = field("tool_calls");
    const answers = role !== undefined && (role === tags.assistant || role === tags.function);
    return {
      role,
      content: field(tags.content),
      callsTools: answers && Array.isArray(calls) && calls.length > 0,
    };
  });
}

/** openai's format: answers of tools that follow one another are one message; those at the end are left out. */
function joinAnswers(messages: readonly Message[], tags: MessageTags, where: string): Message[] {
  const joined: Message[] = [];
  let answers: unknown[] = [];
  for (const message of messages) {
    if (message.role === tags.observation && tags.observation !== undefined) {
      answers.push(message.content);
      continue;
    }
    if (answers.length > 0) {
      if (answers.some((answer) => typeof answer !== "string")) {
        throw new UserError(`${where}: the answer of a tool must be text; correct the row`);
      }
      joined.push({ role: tags.observation, content: answers.join(BETWEEN_ANSWERS), callsTools: false });
      answers = [];
    }
    joined.push(message.callsTools ? { ...message, role: tags.function ?? message.role } : message);
  }
  return joined;
}
