// cos to the last digit. Math.cos and glibc's cos differ in the last digit, which would change logged rates.

const BITS = 256n;
const ONE = 1n << BITS;
/** Beyond it the series' terms would eat up the spare digits. */
const LARGEST = 64;

/** The cosine of x, correctly rounded up to |x| = 64: Taylor's series in fixed point, 256 binary digits. */
export function exactCos(x: number): number {
  if (!(Math.abs(x) <= LARGEST)) return Math.cos(x);
  const square = (BigInt(x * 2 ** 200) ** 2n) >> (400n - BITS);
  let sum = ONE;
  for (let term = ONE, n = 1n; term !== 0n; n += 2n) {
    term = (-term * square) / (ONE * n * (n + 1n));
    sum += term;
  }
  return Number(sum) / 2 ** Number(BITS);
}
