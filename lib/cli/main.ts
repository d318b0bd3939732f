#!/usr/bin/env node
// The binary's entry, and all it does is hand over: nothing heavy may be imported before a command is known.
import { dispatch } from "./commands.js";
import { processHost } from "./host.js";

// a reader that has seen enough (`| head`) closes the pipe: no reason for a stack trace
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(process.exitCode ?? 0);
  });
}
process.exitCode = await dispatch(process.argv.slice(2), processHost());
