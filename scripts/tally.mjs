// A vitest reporter that writes into the file named by QWEN_PT_TALLY what failed, a line each, and the counts of the run
// as "N passed, N failed" (and ", N skipped"). A file that fails to load and an unhandled error count as failures.
import { writeFileSync } from "node:fs";

const first = (error) => String(error?.message ?? error).split("\n")[0];

export default class Tally {
  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: 0, skipped: 0 };
    const failures = [];
    const fail = (name, error) => {
      counts.failed += 1;
      failures.push(`failed: ${name}: ${first(error)}\n`);
    };
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state, errors } = test.result();
        if (state === "failed") fail(`${module.relativeModuleId} > ${test.fullName}`, errors?.[0]);
        else counts[state] += 1;
      }
      if (module.errors().length > 0) fail(module.relativeModuleId, module.errors()[0]);
    }
    for (const error of unhandledErrors) fail("outside of the tests", error);
    const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
    const file = process.env.QWEN_PT_TALLY;
    const line = `${counts.passed} passed, ${counts.failed} failed${skipped}\n`;
    if (file) writeFileSync(file, `${failures.join("")}${line}`);
  }
}
