// What fetching reports while it runs: plain data, and a count that does not report too often.

/** How far the files of one repository are. */
export interface DownloadEvent {
  type: "download";
  /** The repository's name. */
  repository: string;
  bytes: number;
  totalBytes: number;
  files: number;
  filesDone: number;
  bytesPerSecond: number;
  /** Everything is there. */
  done: boolean;
}

/** Something worth saying once. */
export interface HubMessage {
  type: "message";
  level: "info" | "warning";
  text: string;
}

/** What a download reports: its progress, and what is worth saying once. */
export type HubEvent = DownloadEvent | HubMessage;

const INTERVAL_MS = 200;
const WINDOW_MS = 5000;

/** Counts what arrives and reports it some times a second. */
export class Tally {
  #bytes = 0;
  #totalBytes = 0;
  #files = 0;
  #filesDone = 0;
  #last = 0;
  /** When how many bytes had come over the network. */
  readonly #marks: [time: number, received: number][] = [];
  #received = 0;

  constructor(
    readonly repository: string,
    readonly onEvent: (event: HubEvent) => void,
  ) {}

  expect(files: number, bytes: number): void {
    this.#files += files;
    this.#totalBytes += bytes;
    this.#report(true);
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    if (bytes > 0) this.#received += bytes;
    this.#report(false);
  }

  fileDone(): void {
    this.#filesDone++;
    this.#report(true);
  }

  finish(): void {
    if (this.#files > 0) this.#report(true, true);
  }

  #report(always: boolean, done = false): void {
    const now = Date.now();
    if (!always && now - this.#last < INTERVAL_MS) return;
    this.#last = now;
    this.#marks.push([now, this.#received]);
    while (this.#marks.length > 2 && now - this.#marks[0]![0] > WINDOW_MS) this.#marks.shift();
    const [time, received] = this.#marks[0]!;
    this.onEvent({
      type: "download",
      repository: this.repository,
      bytes: Math.max(0, this.#bytes),
      totalBytes: this.#totalBytes,
      files: this.#files,
      filesDone: this.#filesDone,
      bytesPerSecond: now > time ? ((this.#received - received) * 1000) / (now - time) : 0,
      done,
    });
  }
}
