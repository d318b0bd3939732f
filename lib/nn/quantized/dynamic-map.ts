// bitsandbytes' dynamic map of 8 bits (Dettmers et al. 2022, arXiv:2110.02861, section 2.1): seven powers of ten, each with
// twice as many steps as the one below it, the middles of even steps between a tenth of it and all of it. Kept as float32
// has them with AVX2, because torch's linspace, which bitsandbytes begins with, rounds the last bit as the processor likes.

/** The positive levels below 1, sorted: base64 of float32, little-endian. */
const SIGNED =
  "t6MTNZQaWjb/BQI3BkKyNzSANziz74o4Sx+6OAvXIzkF54w5g+LHOQFvATrB7B46gGo8Oj7oWTr/ZXc6ne+nOvyp8Totsh07XI9CO4ps" +
  "ZzvdJIY7dJOYOw0CqzukcL07O9/PO9NN4jtqvPQ7gZUDPM3MDDwYBBY8ZDsfPEjhOjzD9Wg8H4WLPF2Pojyambk816PQPBWu5zxSuP48" +
  "SOEKPWdmFj2F6yE9o3AtPcP1OD3hekQ9AABQPR+FWz09Cmc9XY9yPXsUfj3NzIQ9XY+KPetRkD17FJY9CtebPZqZoT0qXKc9uB6tPUjh" +
  "sj3Xo7g9Z2a+PfcoxD2F68k9NDPbPQAA+D1mZgo+zcwYPjMzJz6amTU+AABEPmZmUj7NzGA+MzNvPpmZfT4AAIY+NDONPmZmlD6amZs+" +
  "zMyiPgAAqj4zM7E+Zma4PpqZvz7MzMY+AADOPjMz1T5mZtw+mpnjPszM6j4AAPI+MjP5PjMzAD/MzAM/ZmYHPwAACz+amQ4/NDMSP83M" +
  "FT9mZhk/AAAdP5qZID80MyQ/zcwnP2ZmKz8AAC8/mpkyPzQzNj/NzDk/ZmY9PwAAQT+amUQ/MzNIP83MSz9mZk8/AABTP5qZVj8zM1o/" +
  "zcxdP2ZmYT8AAGU/mploPzMzbD/NzG8/ZmZzPwAAdz+amXo/MzN+Pw==";
const UNSIGNED =
  "qnuuNJgJUDU4mw429sySNlFM3jbV5RQ3bhKDN6Bx4Tdo6B84ABhPOJpHfjiZu5Y4ZFOuODHrxThLWQY5ylRBOUlQfDnkpZs5oiO5OWOh" +
  "1jkiH/Q5cc4IOlCNFzowTCY6EAs1Ou/JQzrQiFI6r0dhOo4GcDpuxX46BoGVOjVeujpkO986SgwCO+F6FDt46SY7EFg5O6fGSztANV47" +
  "16NwOzeJgTuCwIo7z/eTOxovnTtmZqY7sp2vO/3UuDtKDMI7lUPLO+F61Dsust07eOnmO8Ug8DsPWPk7rkcBPFTjBTz5fgo8oBoPPEW2" +
  "EzzrURg8ku0cPDeJITwqXC88Z2ZGPKNwXTzienQ8j8KFPK9HkTzNzJw861GoPAvXszwpXL88R+HKPGdm1jyH6+E8o3DtPMP1+DxwPQI9" +
  "AAAIPY/CDT0fhRM9r0cZPT0KHz3NzCQ9XI8qPetRMD17FDY9Ctc7PZqZQT0oXEc9uB5NPUfhUj3Xo1g9Z2ZePfcoZD2H62k9Fa5vPaNw" +
  "dT0zM3s94nqAPSpcgz1xPYY9uB6JPQAAjD1I4Y49kMKRPdejlD0fhZc9Z2aaPa9HnT32KKA9PgqjPYXrpT3NzKg9Fa6rPVyPrj2kcLE9" +
  "61G0PTMztz17FLo9w/W8PQvXvz1SuMI9mpnFPeJ6yD0pXMs9AADUPWZm4j3NzPA9MzP/PczMBj4AAA4+NDMVPmZmHD6amSM+zMwqPgAA" +
  "Mj40Mzk+ZmZAPpqZRz7MzE4+AABWPjQzXT5mZmQ+mplrPszMcj4AAHo+mZmAPjMzhD7NzIc+ZmaLPgAAjz6amZI+MzOWPszMmT5mZp0+" +
  "AAChPpqZpD4zM6g+zMyrPmZmrz4AALM+mpm2PjMzuj7MzL0+ZmbBPgAAxT6amcg+MzPMPszMzz5mZtM+AADXPpqZ2j4zM94+zMzhPmZm" +
  "5T4AAOk+mpnsPjMz8D7MzPM+Zmb3PgAA+z6Zmf4+mhkBP2bmAj8zswQ/AIAGP8xMCD+aGQo/ZuYLPzSzDT8AgA8/zUwRP5oZEz9m5hQ/" +
  "NLMWPwCAGD/NTBo/mhkcP2bmHT80sx8/AIAhP81MIz+aGSU/ZuYmPzSzKD8AgCo/zUwsP5oZLj9m5i8/NLMxPwCAMz/NTDU/mhk3P2bm" +
  "OD80szo/AIA8P81MPj+aGUA/ZuZBPzSzQz8AgEU/zExHP5oZST9m5ko/NLNMPwCATj/MTFA/mhlSP2bmUz80s1U/AIBXP8xMWT+aGVs/" +
  "ZuZcPzSzXj8AgGA/zExiP5oZZD9m5mU/NLNnPwCAaT/MTGs/mhltP2bmbj80s3A/AIByP8xMdD+aGXY/ZuZ3PzSzeT8AgHs/zEx9P5oZ" +
  "fz8=";

const maps = new Map<boolean, Float32Array>();

/**
 * The 256 levels, sorted: 0, 1, and those between; with their negatives, but -1, where the map is signed.
 */
export function dynamicLevels(signed = true): Float32Array {
  const known = maps.get(signed);
  if (known !== undefined) return known;
  const bytes = Uint8Array.from(Buffer.from(signed ? SIGNED : UNSIGNED, "base64"));
  const view = new DataView(bytes.buffer);
  const positive = Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
  const all = [0, 1, ...positive, ...(signed ? positive.map((level) => -level) : [])];
  const levels = Float32Array.from(all).sort();
  maps.set(signed, levels);
  return levels;
}
