// Reads a cubin, which is an ELF file of 64 bits: its kernels, their registers and their local memory, into which
// registers are spilt. No tool of CUDA's is needed. Sections ".nv.info" hold attributes: a format, a kind, a size, and
// for the kinds that are read here a symbol's number and a value.

const STRING_VALUE = 4; // EIFMT_SVAL: the attribute has a size, then its bytes
const REGISTERS = 0x2f; // EIATTR_REGCOUNT
const FRAME = 0x11; // EIATTR_FRAME_SIZE

function sectionsOf(bytes) {
  if (bytes.length < 64 || bytes.readUInt32BE(0) !== 0x7f454c46) throw new RangeError("not a cubin");
  const [offset, size] = [Number(bytes.readBigUInt64LE(40)), bytes.readUInt16LE(58)];
  const raw = Array.from({ length: bytes.readUInt16LE(60) }, (_, index) => {
    const at = offset + index * size;
    return {
      name: bytes.readUInt32LE(at),
      type: bytes.readUInt32LE(at + 4),
      from: Number(bytes.readBigUInt64LE(at + 24)),
      bytes: Number(bytes.readBigUInt64LE(at + 32)),
      link: bytes.readUInt32LE(at + 40),
    };
  });
  const names = raw[bytes.readUInt16LE(62)];
  return raw.map((section) => ({ ...section, name: textAt(bytes, names.from + section.name) }));
}

function textAt(bytes, at) {
  return bytes.toString("latin1", at, bytes.indexOf(0, at));
}

/** Names of symbols by number. */
function symbolsOf(bytes, sections) {
  const table = sections.find(({ type }) => type === 2);
  const strings = sections[table.link];
  const count = table.bytes / 24;
  return Array.from({ length: count }, (_, index) =>
    textAt(bytes, strings.from + bytes.readUInt32LE(table.from + 24 * index)),
  );
}

/** The kernels of a cubin, by name: { name, registers, local }, local memory in bytes a thread. */
export function kernelsIn(bytes) {
  const sections = sectionsOf(bytes);
  const symbols = symbolsOf(bytes, sections);
  const found = new Map();
  for (const { name } of sections)
    if (name.startsWith(".text.")) found.set(name.slice(6), { name: name.slice(6), registers: 0, local: 0 });
  const info = sections.find(({ name }) => name === ".nv.info");
  for (let at = info.from; at + 4 <= info.from + info.bytes; ) {
    const [format, kind, size] = [bytes[at], bytes[at + 1], bytes.readUInt16LE(at + 2)];
    const length = format === STRING_VALUE ? size : 0;
    if (length >= 8) {
      const kernel = found.get(symbols[bytes.readUInt32LE(at + 4)]);
      if (kernel !== undefined && kind === REGISTERS) kernel.registers = bytes.readUInt32LE(at + 8);
      if (kernel !== undefined && kind === FRAME) kernel.local = bytes.readUInt32LE(at + 8);
    }
    at += 4 + length;
  }
  return [...found.values()];
}
