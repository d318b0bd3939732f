// A vitest reporter that writes into the file named by QWEN_PT_TALLY what failed, a line each, and the counts of the run
// as "N passed, N failed" (and ", N skipped"). A file that fails to load and an unhandled error count as failures; a test
// that passed only when it was tried again has a line too.
import { writeFileSync } from "node:fs";

const first = (error) => String(error?.message ?? error).split("\n")[0];

export default class Tally {
  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: 0, skipped: 0 };
    const lines = [];
    const say = (what, name, error) => lines.push(`${what}: ${name}: ${first(error)}\n`);
    const fail = (name, error) => {
      counts.failed += 1;
      say("failed", name, error);
    };
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state, errors } = test.result();
        const name = `${module.relativeModuleId} > ${test.fullName}`;
        if (state === "failed") fail(name, errors?.[0]);
        else counts[state] += 1;
        if (test.diagnostic()?.flaky) say("passed at the second try", name, errors?.[0]);
      }
      // a hook that fails skips the tests of its suite
      for (const suite of [module, ...module.children.allSuites()])
        for (const error of suite.errors().slice(0, 1))
          fail([module.relativeModuleId, suite.fullName].filter(Boolean).join(" > "), error);
    }
    for (const error of unhandledErrors) fail("outside of the tests", error);
    const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
    const file = process.env.QWEN_PT_TALLY;
    const line = `${counts.passed} passed, ${counts.failed} failed${skipped}\n`;
    if (file) writeFileSync(file, `${lines.join("")}${line}`);
  }
}
