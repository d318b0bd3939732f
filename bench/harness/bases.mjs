/** The recipe's keys for a base in fewer bits, beside 16. */
export const BASES = {
  "16 bits": {},
  NF4: { quantization_bit: 4 },
  FP4: { quantization_bit: 4, quantization_type: "fp4" },
  "8 bits (LLM.int8)": { quantization_bit: 8 },
  "int8 products": { quantization_compute: "int8" },
};
