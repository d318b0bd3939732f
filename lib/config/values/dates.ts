// Dates and spans of time, as recipes and corpora write them. A date is a moment in UTC, in milliseconds since 1970; one
// that names no day or month begins with its year or month.

/** Up to here a bare number is a year, and up to there seconds since 1970; beyond, milliseconds. */
const MOST_YEAR = 9999;
const MOST_SECONDS = 1e11;

const ISO =
  /^([+-]?\d{1,6})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*(Z|[+-]\d\d:?\d\d)?)?)?)?$/i;
const BASIC = /^(\d{4})(\d\d)(\d\d)$/;

/** What a date must look like, for messages. */
export const DATE_FORM =
  "a date such as 2024-05-01, a year such as 1080, or seconds or milliseconds since 1970";

/**
 * The moment that a value names; undefined for what is no date. Text is an ISO date (2024, 2024-05, 2024-05-01,
 * 20240501, 2024-05-01T12:00:00+08:00; years may be negative) or a number. A number is a year up to 9999, a day where
 * its eight digits make one (20240501), else seconds or milliseconds since 1970.
 */
export function parseDate(value: unknown): number | undefined {
  if (value instanceof Date) return defined(value.getTime());
  if (typeof value === "bigint") return ofNumber(Number(value));
  if (typeof value === "number") return ofNumber(value);
  if (typeof value !== "string") return undefined;
  const text = value.trim();
  const found = ISO.exec(text);
  if (found !== null && Math.abs(Number(found[1])) <= MOST_YEAR) return ofParts(found);
  return /^-?\d+(\.\d+)?$/.test(text) ? ofNumber(Number(text)) : undefined;
}

function ofNumber(value: number): number | undefined {
  if (!Number.isFinite(value)) return undefined;
  if (Number.isInteger(value) && Math.abs(value) <= MOST_YEAR) return moment(value, 1, 1);
  const basic = BASIC.exec(String(value));
  const day = basic === null ? undefined : moment(Number(basic[1]), Number(basic[2]), Number(basic[3]));
  if (day !== undefined) return day;
  return defined(Math.abs(value) < MOST_SECONDS ? value * 1000 : value);
}

function ofParts(found: RegExpExecArray): number | undefined {
  const [, year, month = "1", date = "1", hour = "0", minute = "0", second = "0", fraction = "", zone = "Z"] =
    found;
  const day = moment(Number(year), Number(month), Number(date));
  const time = [Number(hour), Number(minute), Number(second)] as const;
  if (day === undefined || time[0] > 24 || time[1] > 59 || time[2] > 60) return undefined;
  const seconds = time[0] * 3600 + time[1] * 60 + time[2] + Number(`0.${fraction || 0}`);
  return day + (seconds - offset(zone)) * 1000;
}

/** Seconds by which a zone is ahead of UTC. */
function offset(zone: string): number {
  const found = /^([+-])(\d\d):?(\d\d)$/.exec(zone);
  if (found === null) return 0;
  return (found[1] === "-" ? -1 : 1) * (Number(found[2]) * 3600 + Number(found[3]) * 60);
}

/** The beginning of a day; undefined for one that the calendar does not have. */
function moment(year: number, month: number, day: number): number | undefined {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day); // Date.UTC takes 0 to 99 for years of the 20th century
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? date.getTime() : undefined;
}

function defined(time: number): number | undefined {
  return Number.isNaN(new Date(time).getTime()) ? undefined : time;
}

/** Days of each unit; a year is 365.25 of them, a month a twelfth of it. */
const UNITS = { d: 1, w: 7, m: 365.25 / 12, y: 365.25 } as const;

/** What a span of time must look like, for messages. */
export const SPAN_FORM = "a span such as 180d, 26w, 6m (months) or 2y";

/** A span in days; undefined for what is none, and for none at all. */
export function parseSpan(value: unknown): number | undefined {
  const found = typeof value === "string" ? /^(\d+(?:\.\d+)?)\s*([dwmy])$/.exec(value.trim()) : null;
  if (found === null) return undefined;
  const days = Number(found[1]) * UNITS[found[2] as keyof typeof UNITS];
  return days > 0 && Number.isFinite(days) ? days : undefined;
}
