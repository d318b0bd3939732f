// Numbers as messages, a terminal and a notebook say them. A leaf that anyone may import.

/** 1234567 as 1,234,567. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** 1 document, 1,234 documents. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Bytes as 1.2 GB, 3.4 MB or 5 kB. */
export function gigabytes(bytes: number): string {
  if (bytes < 1e6) return `${Math.ceil(bytes / 1e3)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

/** Seconds as m:ss, from an hour on h:mm:ss, from a day on `2d 03:04:05`; `?` where nothing is known. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return "?";
  const total = Math.floor(seconds);
  const two = (value: number) => String(value).padStart(2, "0");
  const [days, hours] = [Math.floor(total / 86400), Math.floor((total % 86400) / 3600)];
  const clock = `${two(Math.floor((total % 3600) / 60))}:${two(total % 60)}`;
  if (days > 0) return `${days}d ${two(hours)}:${clock}`;
  return hours > 0 ? `${hours}:${clock}` : clock.replace(/^0/, "");
}

/** Bytes as `3.9 GiB`, `512 MiB`. */
export function memory(bytes: number): string {
  const gib = bytes / 1024 ** 3;
  return gib >= 1 ? `${gib.toFixed(gib < 10 ? 2 : 1)} GiB` : `${Math.round(bytes / 1024 ** 2)} MiB`;
}

/** A loss or a norm: four significant digits, and NaN said as such. */
export function significant(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(3) : value.toPrecision(4);
}

/** A learning rate: 1.00e-4. */
export function rate(value: number): string {
  return value === 0 ? "0" : value.toExponential(2);
}

/** Tokens a second: 48.3, 1,234. */
export function speed(value: number): string {
  return Number.isFinite(value) ? (value < 100 ? value.toFixed(1) : count(Math.round(value))) : "?";
}
