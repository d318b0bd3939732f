// The checksum of TensorFlow's records: CRC-32C (Castagnoli; RFC 3720, appendix B.4), masked so that a checksum may be
// part of checksummed data. Node has CRC-32 only, whose polynomial is another.

const POLYNOMIAL = 0x82f63b78; // 0x1edc6f41, reflected

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
  return crc;
});

/** CRC-32C of some bytes. */
export function checksum(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = (TABLE[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** As a TFRecord holds it: rotated right by 15 bits, plus a constant. */
export function maskedChecksum(data: Uint8Array): number {
  const crc = checksum(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
