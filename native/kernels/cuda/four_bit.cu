// Values of codes of 4 bits (NF4, FP4), with scales that are numbers or codes of 8 bits themselves: one pass, in
// bitsandbytes' order of roundings (products/frozen_weight.cc, products/coded/four_bit_rows.h). Two codes a byte, the first in
// its high bits; 2^`run` values share a scale, 2^`outerRun` scales of 8 bits another, both counted from the start of
// the whole weight. Shifts, because a division of 64 bits is a call, and a stack for it.
#include "numbers.cuh"

/// Scales of the runs.
struct Scales {
  const float* plain;  // null where they are codes
  const u8* codes;
  const float* outer;
  const float* levels;  // 256
  const float* offset;
  int outerRun;

  __device__ __forceinline__ float at(i64 run) const {
    if (plain) return plain[run];
    // multiplied, then added: each is rounded
    return __fadd_rn(__fmul_rn(levels[codes[run]], outer[run >> outerRun]), *offset);
  }
};

/// Values [first, first + count) of a weight, `first` even: each rounded to `kind`, then to T.
template <typename T, int N>
__device__ __forceinline__ void dequantize(const u8* codes, const float* levels, const Scales& scales, T* out,
                                           i64 first, i64 count, int run, int kind) {
  __shared__ float table[16];
  if (threadIdx.x < 16) table[threadIdx.x] = levels[threadIdx.x];
  __syncthreads();
  for (i64 i = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * N; i < count; i += (i64)gridDim.x * blockDim.x * N) {
    if (i + N <= count) {
      const Pack<u8, N / 2> bytes = load<N / 2>(codes + (first + i) / 2);
      const float scale = scales.at((first + i) >> run);  // a run is a multiple of N
      Pack<T, N> values;
      UNROLL
      for (int j = 0; j < N; ++j) {
        const int code = j % 2 ? bytes.at[j / 2] & 15 : bytes.at[j / 2] >> 4;
        values.at[j] = narrow<T>(roundedTo(kind, table[code] * scale));
      }
      store<N>(out + i, values);
    } else {
      for (i64 k = i; k < count; ++k) {
        const u8 byte = codes[(first + k) / 2];
        const int code = k % 2 ? byte & 15 : byte >> 4;
        out[k] = narrow<T>(roundedTo(kind, table[code] * scales.at((first + k) >> run)));
      }
    }
  }
}

/// Eight values a thread: 16 bytes of 16 bits each, 32 of float32.
#define DEQUANTIZE(suffix, T)                                                                                         \
  extern "C" __global__ void __launch_bounds__(256)                                                                   \
      dequantize_4bit_##suffix(const u8* codes, const float* levels, const float* plain, const u8* scaleCodes,        \
                               const float* outer, const float* scaleLevels, const float* offset, int outerRun,       \
                               T* out, i64 first, i64 count, int run, int kind) {                                     \
    const Scales scales = {plain, scaleCodes, outer, scaleLevels, offset, outerRun};                                  \
    dequantize<T, 8>(codes, levels, scales, out, first, count, run, kind);                                            \
  }                                                                                                                   \
  KERNEL(dequantize_4bit_##suffix)

DEQUANTIZE(f32, float)
DEQUANTIZE(bf16, bf16)
DEQUANTIZE(f16, fp16)
