// Bars as SVG, for the report: no library, and colours that are told apart in a light and a dark page.

const escaped = (text) =>
  text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const COLOURS = ["#3b6fb6", "#c4722a"];

/**
 * @param {string} title what is shown, with its unit
 * @param {{name: string, value: number, said: string, group?: number}[]} rows `said` stands behind the bar
 */
export function bars(title, rows) {
  const [wide, left, tall] = [860, 330, 24];
  const most = Math.max(...rows.map(({ value }) => value), 1e-30);
  const lines = rows.map(({ name, value, said, group = 0 }, at) => {
    const y = 40 + at * tall;
    const width = Math.max(1, ((wide - left - 130) * value) / most);
    const label = name.length > 48 ? `${name.slice(0, 46)}…` : name;
    return `<text x="${left - 8}" y="${y + 15}" text-anchor="end">${escaped(label)}</text><rect x="${left}" y="${y + 3}" width="${width.toFixed(1)}" height="${tall - 7}" fill="${COLOURS[group]}"/><text x="${(left + width + 6).toFixed(1)}" y="${y + 15}">${escaped(said)}</text>`;
  });
  const height = 48 + rows.length * tall;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${wide} ${height}" font-family="sans-serif" font-size="12" fill="#444"><rect width="${wide}" height="${height}" fill="#fff"/><text x="12" y="24" font-size="15">${escaped(title)}</text>${lines.join("")}</svg>\n`;
}

/** What a trace in Chrome's format says of each kernel of the device, or where it has none of each operator by itself. */
export function byKernel(trace) {
  const events = trace.traceEvents.filter(({ ph, dur }) => ph === "X" && dur > 0);
  const kernels = events.filter(({ cat }) => /^(kernel|gpu_memcpy|gpu_memset)$/.test(cat));
  const isDevice = kernels.length > 0;
  const sums = new Map();
  for (const { name, microseconds } of isDevice
    ? kernels.map(timed)
    : ownTimes(events.filter(({ cat }) => cat === "cpu_op"))) {
    const sum = sums.get(name) ?? { name, microseconds: 0, count: 0 };
    sum.microseconds += microseconds;
    sum.count++;
    sums.set(name, sum);
  }
  const all = [...sums.values()].sort((a, b) => b.microseconds - a.microseconds);
  const total = all.reduce((sum, { microseconds }) => sum + microseconds, 0);
  return { isDevice, total, kernels: all.map((one) => ({ ...one, share: one.microseconds / total })) };
}

const timed = ({ name, dur }) => ({ name, microseconds: dur });

/** An operator's time without that of those it calls: events of a thread nest. */
function ownTimes(events) {
  const own = events.map((event) => ({ ...event, microseconds: event.dur }));
  const open = new Map();
  for (const event of own.sort((a, b) => a.ts - b.ts || b.dur - a.dur)) {
    const stack = open.get(event.tid) ?? [];
    while (stack.length > 0 && stack.at(-1).ts + stack.at(-1).dur <= event.ts) stack.pop();
    if (stack.length > 0) stack.at(-1).microseconds -= event.dur;
    stack.push(event);
    open.set(event.tid, stack);
  }
  return own;
}
