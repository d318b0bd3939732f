// AdamW's step over one parameter, a block a run of 256 numbers: moments in codes of 8 bits are made float, moved and made
// codes again in registers. Every rounding is adamw_runs.h's, so codes and weights are the processor's bit for bit.
#include "numbers.cuh"

/// The largest of two values over a block of 256 threads, for every thread of it. All threads must come.
__device__ __forceinline__ void blockMaxima(float& a, float& b) {
  __shared__ float parts[2][8];
  UNROLL
  for (int o = 16; o; o >>= 1) {
    a = fmaxf(a, __shfl_xor_sync(0xffffffffu, a, o));
    b = fmaxf(b, __shfl_xor_sync(0xffffffffu, b, o));
  }
  if ((threadIdx.x & 31) == 0) {
    parts[0][threadIdx.x >> 5] = a;
    parts[1][threadIdx.x >> 5] = b;
  }
  __syncthreads();
  UNROLL
  for (int i = 0; i < 8; ++i) {
    a = fmaxf(a, parts[0][i]);
    b = fmaxf(b, parts[1][i]);
  }
}

/// What a step is made with, as float32 has it.
struct AdamwStep {
  float beta1, rest1, beta2, rest2, kept, root, eps, share;
};

__device__ __forceinline__ void move(const AdamwStep& of, float g, float& m, float& v) {
  m = __fmaf_rn(g, of.rest1, __fmul_rn(m, of.beta1));
  v = __fmaf_rn(__fmul_rn(of.rest2, g), g, __fmul_rn(v, of.beta2));
}

__device__ __forceinline__ u8 coded(float x, float most, const u8* steps) {
  if (!(most > 0.f)) return 0;
  const float value = fminf(fmaxf(__fmul_rn(x, 1.f / most), -1.f), 1.f);
  return steps[(u16)(int)__fmaf_rn(__fmul_rn(__fadd_rn(value, 1.f), 0.5f), 65535.f, 0.5f)];
}

template <typename T>
__device__ __forceinline__ void adamw8(T* parameter, const T* gradient, u8* means, u8* squares, float* meanScales,
                                       float* squareScales, const float* meanLevels, const u8* meanSteps,
                                       const float* squareLevels, const u8* squareSteps, i64 count,
                                       const AdamwStep& of) {
  const i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
  const bool inside = i < count;
  float g = 0.f, m = 0.f, v = 0.f;
  if (inside) {
    g = widen(gradient[i]);
    m = __fmul_rn(meanLevels[means[i]], meanScales[blockIdx.x]);
    v = __fmul_rn(squareLevels[squares[i]], squareScales[blockIdx.x]);
    move(of, g, m, v);
    float w = widen(parameter[i]);
    if (of.kept != 1.f) w = __fmul_rn(w, of.kept);
    w = __fadd_rn(w, __fmul_rn(of.share, m) / __fadd_rn(sqrtf(v) / of.root, of.eps));
    parameter[i] = narrow<T>(w);
  }
  float mostMean = fabsf(m), mostSquare = fabsf(v);
  blockMaxima(mostMean, mostSquare);  // after every scale has been read
  if (threadIdx.x == 0) {
    meanScales[blockIdx.x] = mostMean;
    squareScales[blockIdx.x] = mostSquare;
  }
  if (!inside) return;
  means[i] = coded(m, mostMean, meanSteps);
  squares[i] = coded(v, mostSquare, squareSteps);
}

template <typename T>
__device__ __forceinline__ void adamw32(T* parameter, const T* gradient, float* means, float* squares, i64 count,
                                        const AdamwStep& of) {
  const i64 i = (i64)blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  float m = means[i], v = squares[i];
  move(of, widen(gradient[i]), m, v);
  means[i] = m;
  squares[i] = v;
  float w = widen(parameter[i]);
  if (of.kept != 1.f) w = __fmul_rn(w, of.kept);
  parameter[i] = narrow<T>(__fmaf_rn(m / __fadd_rn(sqrtf(v), of.eps), of.share, w));
}

#define ADAMW(suffix, T)                                                                                              \
  extern "C" __global__ void __launch_bounds__(256)                                                                   \
      adamw_8bit_##suffix(T* parameter, const T* gradient, u8* means, u8* squares, float* meanScales,                 \
                          float* squareScales, const float* meanLevels, const u8* meanSteps,                          \
                          const float* squareLevels, const u8* squareSteps, i64 count, float beta1, float rest1,      \
                          float beta2, float rest2, float kept, float root, float eps, float share) {                 \
    const AdamwStep of = {beta1, rest1, beta2, rest2, kept, root, eps, share};                                        \
    adamw8<T>(parameter, gradient, means, squares, meanScales, squareScales, meanLevels, meanSteps, squareLevels,     \
              squareSteps, count, of);                                                                                \
  }                                                                                                                   \
  KERNEL(adamw_8bit_##suffix)                                                                                         \
  extern "C" __global__ void __launch_bounds__(256)                                                                   \
      adamw_32bit_##suffix(T* parameter, const T* gradient, float* means, float* squares, i64 count, float beta1,     \
                           float rest1, float beta2, float rest2, float kept, float root, float eps, float share) {   \
    const AdamwStep of = {beta1, rest1, beta2, rest2, kept, root, eps, share};                                        \
    adamw32<T>(parameter, gradient, means, squares, count, of);                                                       \
  }                                                                                                                   \
  KERNEL(adamw_32bit_##suffix)

ADAMW(f32, float)
ADAMW(bf16, bf16)
ADAMW(f16, fp16)
