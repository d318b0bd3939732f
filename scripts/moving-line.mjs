// One line on the terminal that shows that work goes on: what it is, how far, and for how long. In a pipe there is none.

const CLEAR = "\r\u001b[K";

/** 75 as "1:15". */
const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

/**
 * Begins a line. `update(text)` says how far the work is, `print(line)` writes a whole line above, `stop()` wipes the
 * line away. `out`, `now` and `every` are a test's to replace.
 */
export function movingLine(what, { out = process.stderr, now = Date.now, every = interval } = {}) {
  const live = out.isTTY === true && process.env.TERM !== "dumb";
  const began = now();
  let far = "";
  const draw = () => {
    const text = `${what}${far && `: ${far}`}, ${clock((now() - began) / 1000)}`;
    out.write(`\r${text.slice(0, Math.max(1, (out.columns || 80) - 1))}\u001b[K`);
  };
  const end = live ? every(500, draw) : () => {};
  return {
    update(text) {
      far = text;
    },
    print(line) {
      out.write(`${live ? CLEAR : ""}${line}\n`);
    },
    stop() {
      end();
      if (live) out.write(CLEAR);
    },
  };
}

function interval(milliseconds, tick) {
  const timer = setInterval(tick, milliseconds);
  timer.unref();
  return () => clearInterval(timer);
}

/** How far a build is by what ninja ("[12/31]") or make ("[ 38%]") printed last; undefined where neither did. */
export function buildShare(output) {
  const ninja = [...output.matchAll(/^\[(\d+)\/(\d+)\]/gm)].at(-1);
  if (ninja) return `${ninja[1]} of ${ninja[2]}`;
  const make = [...output.matchAll(/^\[\s*(\d+)%\]/gm)].at(-1);
  return make && `${make[1]}%`;
}
