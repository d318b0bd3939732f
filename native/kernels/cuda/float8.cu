// A matrix in 8-bit floats with a power of two for its unit (products/coded/float8.h): the largest magnitude of each of
// some parts, then the codes, every block finding the unit from the parts. Rounding is to nearest, ties to even, in
// integers: no instruction that a card of another generation lacks, and the same bits on a processor.
#include "numbers.cuh"

/// Magnitudes' bits order as the magnitudes do, and NaN's are above infinity's.
__device__ __forceinline__ u32 sizeBits(float x) { return __float_as_uint(x) & 0x7fffffffu; }
__device__ __forceinline__ u32 larger(u32 a, u32 b) { return a > b ? a : b; }

__device__ __forceinline__ u32 blockLargest(u32 mine) {
  __shared__ u32 warps[32];
  UNROLL
  for (int o = 16; o; o >>= 1) {
    mine = larger(mine, __float_as_uint(__shfl_xor_sync(0xffffffffu, __uint_as_float(mine), o)));
  }
  if ((threadIdx.x & 31) == 0) warps[threadIdx.x >> 5] = mine;
  __syncthreads();
  mine = 0;
  for (int i = 0; i < (int)(blockDim.x >> 5); ++i) mine = larger(mine, warps[i]);
  return mine;
}

template <typename T, int N>
__device__ __forceinline__ void float8Largest(const T* x, float* parts, i64 count) {
  u32 most = 0;
  for (i64 i = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * N; i < count; i += (i64)gridDim.x * blockDim.x * N) {
    const Pack<T, N> p = load<N>(x + i);
    u32 here = 0;
    UNROLL
    for (int j = 0; j < N; ++j) here = larger(here, sizeBits(widen(p.at[j])));
    most = larger(most, here);
  }
  most = blockLargest(most);
  if (threadIdx.x == 0) parts[blockIdx.x] = __uint_as_float(most);
}

/// A format of 8 bits: `kMantissa` bits of mantissa, exponents from 1 - kBias, up to 1.75 * 2^kTop.
struct E4M3 {
  static const int kMantissa = 3, kBias = 7, kTop = 8;
  static const u32 kBeyond = 0x43f00000u;  // 480, the first number that is none of its values
  static __device__ __forceinline__ u32 beyond(u32) { return 0x7fu; }
};
struct E5M2 {
  static const int kMantissa = 2, kBias = 15, kTop = 15;
  static const u32 kBeyond = 0x47800000u;  // 65536
  static __device__ __forceinline__ u32 beyond(u32 size) { return size > 0x7f800000u ? 0x7fu : 0x7cu; }
};

template <typename F>
__device__ __forceinline__ u8 codeOf(float x) {
  const u32 size = sizeBits(x), sign = (__float_as_uint(x) >> 24) & 0x80u;
  const int drop = 23 - F::kMantissa;
  u32 code;
  if (size >= F::kBeyond) {
    code = F::beyond(size);
  } else if (size < (u32)(128 - F::kBias) << 23) {
    // added to a number whose last digit is the format's smallest step, it is rounded to such steps
    const u32 step = (u32)(128 - F::kBias + drop) << 23;
    code = __float_as_uint(__fadd_rn(__uint_as_float(size), __uint_as_float(step))) - step;
  } else {
    const u32 half = (1u << (drop - 1)) - 1 + ((size >> drop) & 1u);
    code = (size + half - ((u32)(127 - F::kBias) << 23)) >> drop;
  }
  return (u8)(code | sign);
}

template <typename T, int N, typename F>
__device__ __forceinline__ void float8Codes(const T* x, const float* parts, int count, u8* codes, float* unit,
                                            i64 numbers) {
  u32 most = 0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) most = larger(most, __float_as_uint(parts[i]));
  most = blockLargest(most);
  // what is above 1.75 times its power of two carries into the exponent
  const bool isFinite = most < 0x7f800000u;
  int exponent = isFinite ? (int)((most + 0x1fffffu) >> 23) - F::kTop : 1;
  if (exponent < 1) exponent = 1;
  if (blockIdx.x == 0 && threadIdx.x == 0) *unit = isFinite ? __uint_as_float((u32)exponent << 23) : notANumber();
  const float inverse = __uint_as_float((u32)(254 - exponent) << 23);
  for (i64 i = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * N; i < numbers; i += (i64)gridDim.x * blockDim.x * N) {
    const Pack<T, N> p = load<N>(x + i);
    Pack<u8, N> result;
    UNROLL
    for (int j = 0; j < N; ++j) result.at[j] = codeOf<F>(__fmul_rn(widen(p.at[j]), inverse));
    store<N>(codes + i, result);
  }
}

#define FLOAT8(suffix, T, N)                                                                                          \
  extern "C" __global__ void __launch_bounds__(256) float8_largest_##suffix(const T* x, float* parts, i64 count) {    \
    float8Largest<T, N>(x, parts, count);                                                                             \
  }                                                                                                                   \
  KERNEL(float8_largest_##suffix)                                                                                     \
  extern "C" __global__ void __launch_bounds__(256)                                                                   \
      float8_e4m3_##suffix(const T* x, const float* parts, int count, u8* codes, float* unit, i64 numbers) {          \
    float8Codes<T, N, E4M3>(x, parts, count, codes, unit, numbers);                                                   \
  }                                                                                                                   \
  KERNEL(float8_e4m3_##suffix)                                                                                        \
  extern "C" __global__ void __launch_bounds__(256)                                                                   \
      float8_e5m2_##suffix(const T* x, const float* parts, int count, u8* codes, float* unit, i64 numbers) {          \
    float8Codes<T, N, E5M2>(x, parts, count, codes, unit, numbers);                                                   \
  }                                                                                                                   \
  KERNEL(float8_e5m2_##suffix)
/// `one`: for counts that 16 bytes do not divide.
#define BOTH(suffix, T)                                                                                               \
  FLOAT8(suffix, T, Wide<T>::count)                                                                                   \
  FLOAT8(suffix##_one, T, 1)

BOTH(f32, float)
BOTH(bf16, bf16)
BOTH(f16, fp16)
