// A vitest reporter that writes the counts of a run as "N passed, N failed" (and ", N skipped") into the file
// named by QWEN_PT_TALLY. A file that fails to load and an unhandled error count as failures.
import { writeFileSync } from "node:fs";

export default class Tally {
  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) counts[test.result().state] += 1;
      if (module.errors().length > 0) counts.failed += 1;
    }
    const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
    const file = process.env.QWEN_PT_TALLY;
    if (file) writeFileSync(file, `${counts.passed} passed, ${counts.failed} failed${skipped}\n`);
  }
}
