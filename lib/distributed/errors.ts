// What goes wrong between processes.

/** A collective failed: another rank is gone or does not answer, or the ranks did not agree on what to do. */
export class DistributedError extends Error {
  /** The class's name, as `Error.name` has it. */
  override readonly name = "DistributedError";
}

/** Another rank has said why the run ends, and prints it: this rank has nothing to add. */
export class PeerError extends Error {
  /** The class's name, as `Error.name` has it. */
  override readonly name = "PeerError";
}
