// The line that shows that a build or an installation goes on.
import { describe, expect, it } from "vitest";
import { buildShare, movingLine } from "../../scripts/moving-line.mjs";

function begin(isTTY: boolean, columns = 80) {
  let [text, time] = ["", 0];
  let tick: (() => void) | undefined;
  const line = movingLine("compiling", {
    out: {
      isTTY,
      columns,
      write: (more: string) => {
        text += more;
        return true;
      },
    } as never,
    now: () => time,
    every: (_: number, draw: () => void) => {
      tick = draw;
      return () => (tick = undefined);
    },
  });
  const pass = (seconds: number) => {
    time += 1000 * seconds;
    tick?.();
    const shown = text;
    text = "";
    return shown;
  };
  return { line, pass };
}

describe("a line that moves", () => {
  it("says what, how far and for how long, on a terminal", () => {
    const { line, pass } = begin(true);
    expect(pass(1)).toBe("\rcompiling, 0:01\u001b[K");
    line.update("12 of 31");
    expect(pass(64)).toBe("\rcompiling: 12 of 31, 1:05\u001b[K");
    line.print("a whole line");
    line.stop();
    expect(pass(5)).toBe("\r\u001b[Ka whole line\n\r\u001b[K");
  });

  it("is cut to the terminal's width", () => {
    expect(begin(true, 10).pass(1)).toBe("\rcompiling\u001b[K");
  });

  it("is not there in a pipe, where whole lines are", () => {
    const { line, pass } = begin(false);
    line.update("12 of 31");
    line.print("a whole line");
    line.stop();
    expect(pass(60)).toBe("a whole line\n");
  });
});

it("reads how far ninja and make are", () => {
  expect(buildShare("-- configured\n[1/31] Building a\n[2/31] Building b\n")).toBe("2 of 31");
  expect(buildShare("[  3%] Building\n[ 38%] Building\n")).toBe("38%");
  expect(buildShare("-- The CXX compiler is GNU")).toBeUndefined();
});
