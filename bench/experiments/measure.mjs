// One run of the resources experiment in a separate process, whose memory nothing else has touched:
//   node bench/experiments/measure.mjs '{"model_name_or_path": ..., ...}'
// It prints JSON: trained parameters, bytes of the process before the first step and at most, and the median seconds of
// processor time a step, which on one thread is the time that it takes where nothing else runs.
import { train } from "../../dist/index.js";

const found = { seconds: [] };
const processorSeconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
let last;
await train(JSON.parse(process.argv[2]), {
  onEvent(event) {
    if (event.type === "model") found.trainable = event.trainable;
    if (event.type === "begin") {
      found.before = process.memoryUsage.rss();
      last = processorSeconds();
    }
    if (event.type !== "step") return;
    found.seconds.push(processorSeconds() - last);
    last = processorSeconds();
  },
});
const times = found.seconds.slice(1).sort((a, b) => a - b);
const { trainable, before } = found;
const peak = process.resourceUsage().maxRSS * 1024;
console.log(JSON.stringify({ trainable, before, peak, secondsPerStep: times[times.length >> 1] }));
