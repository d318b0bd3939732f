// The chat command around a completer that the test plays.
import { describe, expect, it } from "vitest";
import { chat } from "../../../lib/cli/commands/chat.js";
import type { Completer } from "../../../lib/inference/completer.js";
import { FakeHost } from "../program.js";

const bytes = (text: string) => [...Buffer.from(text, "utf8")];

/** A model over bytes that repeats the prompt in capitals; `onToken` runs before each one. */
function echo(onToken: (made: number) => void = () => {}): Completer {
  return {
    encode: async (text) => bytes(text),
    decode: (ids) => Buffer.from(ids).toString("utf8"),
    async *continue(prompt, signal) {
      const reply = bytes(Buffer.from(Array.from(prompt)).toString("utf8").toUpperCase());
      for (const [made, id] of reply.entries()) {
        onToken(made);
        if (signal.aborted) return;
        yield id;
      }
    },
  };
}

describe("chat", () => {
  it("completes --prompt and ends", async () => {
    const host = new FakeHost({ lines: ["ignored"] });
    expect(await chat(echo(), "abc", host)).toBe(0);
    expect([host.text, host.handlers]).toEqual(["ABC\n", 0]);
  });

  it("completes every line of a pipe, without its own prompts", async () => {
    const host = new FakeHost({ lines: ["one", "", "two"] });
    expect(await chat(echo(), undefined, host)).toBe(0);
    expect(host.text).toBe("ONE\nTWO\n");
  });

  it("never shows half a character", async () => {
    const host = new FakeHost();
    const pieces: string[] = [];
    host.out.write = (text) => void pieces.push(text);
    await chat(echo(), "é古a", host);
    expect(pieces).toEqual(["É", "古", "A", "\n"]);
  });

  it("what ends in the middle of a character is shown as it is", async () => {
    const host = new FakeHost();
    const half: Completer = {
      ...echo(),
      async *continue() {
        yield* bytes("古").slice(0, 2);
      },
    };
    await chat(half, "x", host);
    expect(host.text).toBe("\ufffd\n");
  });

  it("at a terminal: a prompt sign, and exit leaves", async () => {
    const host = new FakeHost({ lines: ["hi", "exit", "never"], inputTty: true });
    expect(await chat(echo(), undefined, host)).toBe(0);
    expect(host.text).toMatch(/^Type a text .*\n> HI\n> $/);
  });

  it("Ctrl-C at a terminal stops the completion and asks again", async () => {
    const host = new FakeHost({ lines: ["abcdef", "xy"], inputTty: true });
    let once = true;
    const completer = echo((made) => {
      if (made === 3 && once) {
        once = false;
        host.raise("SIGINT");
      }
    });
    expect(await chat(completer, undefined, host)).toBe(0);
    expect(host.text).toContain("> ABC\n> XY\n> ");
    expect(host.exits).toEqual([]);
  });

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("%s in a pipe ends with %i", async (name, code) => {
    const host = new FakeHost({ lines: ["abcdef", "xy"] });
    const completer = echo((made) => {
      if (made === 2) host.raise(name);
    });
    expect(await chat(completer, undefined, host)).toBe(code);
    expect(host.text).toBe("AB\n");
  });
});
