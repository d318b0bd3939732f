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
const [{ dispatch, outlivesReader }, { processHost }] = await Promise.all([
  import("./dispatch.js"),
  import("./terminal/host.js"),
]);

const args = process.argv.slice(2);
// a reader that has seen enough (`| head`) closes the pipe, a terminal that is gone answers EIO: no reason for a stack
// trace, nor for a training to end in the middle of a checkpoint
const goesOn = outlivesReader(args);
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (!["EPIPE", "EIO", "ERR_STREAM_DESTROYED"].includes(error.code ?? "")) throw error;
    if (!goesOn) process.exit(process.exitCode ?? 0);
  });
}
process.exitCode = await dispatch(args, processHost());

export {}; // a module, for the await above
