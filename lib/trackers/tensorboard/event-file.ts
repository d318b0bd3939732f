// TensorBoard's event files: records of protobuf messages with checksums, appended as they come. Formats:
// tensorflow/core/lib/io/record_writer (TFRecord), tensorflow/core/util/event.proto and framework/summary.proto.
import { appendFileSync, closeSync, openSync } from "node:fs";
import { PbfWriter } from "pbf";
import { maskedChecksum } from "./checksum.js";

/** One value of a summary. */
export type Value =
  | { readonly tag: string; readonly scalar: number }
  /** Markdown, for the Text tab. */
  | { readonly tag: string; readonly text: string }
  | { readonly tag: string; readonly png: Uint8Array };

const FILE_VERSION = "brain.Event:2";
const SESSION_START = 1;
const DT_STRING = 7;
const RGB_AND_ALPHA = 4;

/** An open event file. */
export class EventFile {
  readonly #handle: number;
  readonly #now: () => number;

  /**
   * @param file is made; it must not exist
   * @param now seconds since 1970
   * @throws the system's error where it cannot be written
   */
  constructor(file: string, now: () => number = () => Date.now() / 1000) {
    this.#handle = openSync(file, "ax");
    this.#now = now;
    this.#append(0, (event) => event.writeStringField(3, FILE_VERSION));
  }

  /** Points of earlier files from this step on are no longer shown: a resumed run writes them again. */
  restart(step: number): void {
    this.#append(step, (event) =>
      event.writeMessage(7, (_, session) => session.writeVarintField(1, SESSION_START), null),
    );
  }

  /** Appends values of a step. */
  write(step: number, values: readonly Value[]): void {
    this.#append(step, (event) =>
      event.writeMessage(5, (_, summary) => values.forEach((value) => void writeValue(summary, value)), null),
    );
  }

  close(): void {
    closeSync(this.#handle);
  }

  #append(step: number, what: (event: PbfWriter) => void): void {
    const event = new PbfWriter();
    event.writeDoubleField(1, this.#now());
    if (step !== 0) event.writeVarintField(2, step); // proto3 leaves defaults out
    what(event);
    const data = event.finish();
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(data.length));
    // one write a record: a reader that follows meets whole records, or the beginning of the last
    appendFileSync(this.#handle, Buffer.concat([length, sealed(length), data, sealed(data)]));
  }
}

function sealed(data: Uint8Array): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(maskedChecksum(data));
  return bytes;
}

function writeValue(summary: PbfWriter, value: Value): void {
  summary.writeMessage(
    1,
    (_, out) => {
      out.writeStringField(1, value.tag);
      if ("scalar" in value) out.writeFloatField(2, value.scalar);
      else if ("png" in value) writeImage(out, value.png);
      else writeText(out, value.text);
    },
    null,
  );
}

function writeImage(out: PbfWriter, png: Uint8Array): void {
  const header = Buffer.from(png.buffer, png.byteOffset, png.byteLength);
  out.writeMessage(
    4,
    (_, image) => {
      image.writeVarintField(1, header.readUInt32BE(20)); // IHDR: width at 16, height at 20
      image.writeVarintField(2, header.readUInt32BE(16));
      image.writeVarintField(3, RGB_AND_ALPHA);
      image.writeBytesField(4, png);
    },
    null,
  );
}

function writeText(out: PbfWriter, text: string): void {
  out.writeMessage(
    8,
    (_, tensor) => {
      tensor.writeVarintField(1, DT_STRING);
      tensor.writeMessage(
        2,
        (__, shape) => shape.writeMessage(2, (___, size) => size.writeVarintField(1, 1), null),
        null,
      );
      tensor.writeBytesField(8, Buffer.from(text));
    },
    null,
  );
  out.writeMessage(
    9,
    (_, metadata) => metadata.writeMessage(1, (__, plugin) => plugin.writeStringField(1, "text"), null),
    null,
  );
}
