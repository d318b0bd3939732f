// Where a run's figures go beside its files: TensorBoard, and the services whose official Python clients are installed.
// What a run logs, and when, is train/'s.

export { TRACKERS_FILE, TrackedEvents } from "./follow.js";
export { registerTracker, type TrackerMaker, trackersOf } from "./table.js";
export type { Artifact, Ending, TrackedRun, Tracker } from "./tracker.js";
