#!/usr/bin/env node
// The binary's entry, and all it does is hand over: nothing heavy may be imported before a command is known, and
// nothing at all before it is known that this Node can.
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(
    `error: qwen-pt needs Node 20.19 or later, and this is ${process.versions.node} (${process.execPath}); install a ` +
      "newer one, for instance with `nvm install --lts`\n",
  );
  process.exit(1);
}
const [{ dispatch }, { processHost }] = await Promise.all([
  import("./dispatch.js"),
  import("./terminal/host.js"),
]);

// a reader that has seen enough (`| head`) closes the pipe: no reason for a stack trace
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(process.exitCode ?? 0);
  });
}
process.exitCode = await dispatch(process.argv.slice(2), processHost());

export {}; // a module, for the await above
