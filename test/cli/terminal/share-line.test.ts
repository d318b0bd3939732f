// How far a piece of work is: a line that is redrawn on a terminal, a line now and then in a pipe.
import { describe, expect, it } from "vitest";
import { Progress } from "../../../lib/cli/terminal/progress.js";
import { ShareLine } from "../../../lib/cli/terminal/share-line.js";

function screen(isTTY: boolean) {
  const written: string[] = [];
  let time = 0;
  const out = { write: (text: string) => written.push(text), isTTY, columns: 80 };
  const progress = new Progress({ out, env: {}, now: () => time });
  const line = new ShareLine(progress, () => time);
  const show = (milliseconds: number, done: number) => {
    time += milliseconds;
    line.show("scoring poems", done, 200);
  };
  return { written, line, show };
}

describe("the share of work that is done", () => {
  it("is one line on a terminal, drawn five times a second at most and wiped away", () => {
    const { written, line, show } = screen(true);
    show(100, 1);
    show(900, 2);
    show(100, 49);
    show(8900, 50);
    line.stop();
    expect(written).toEqual([
      "\rscoring poems: 1%  0:01<?\u001b[K",
      "\rscoring poems: 25%  0:10<0:30\u001b[K",
      "\r\u001b[K",
    ]);
  });

  it("is a line every half minute in a pipe", () => {
    const { written, line, show } = screen(false);
    for (let second = 0; second < 65; second++) show(1000, second);
    line.stop();
    expect(written).toEqual(["scoring poems: 14%  0:30<2:56\n", "scoring poems: 29%  1:00<2:23\n"]);
  });
});
