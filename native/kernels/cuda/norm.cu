// RMS normalisation of rows, a block a row, of a sum of two on request, and with the rotary embedding after it, a warp a row. Formulas and roundings
// are norm_rows.h's; the gradient of the weight is a partial sum a block, in a fixed order, so it is the same every time.
#include "numbers.cuh"

/// With a residual, of their sum, which is kept as In has it.
template <typename In, typename Out, int N>
__device__ __forceinline__ void normForward(const In* x, const In* residual, In* sum, const void* weight,
                                            int weightKind, Out* out, int dim, float eps) {
  const i64 row = (i64)blockIdx.x * dim;
  const In* in = residual ? sum + row : x + row;
  Out* to = out + row;
  float squares = 0.f, unused = 0.f;
  for (int i = threadIdx.x * N; i < dim; i += blockDim.x * N) {
    Pack<In, N> pack = load<N>(x + row + i);
    if (residual) {
      const Pack<In, N> more = load<N>(residual + row + i);
      UNROLL
      for (int j = 0; j < N; ++j) pack.at[j] = narrow<In>(widen(pack.at[j]) + widen(more.at[j]));
      store<N>(sum + row + i, pack);  // read again by this thread alone
    }
    UNROLL
    for (int j = 0; j < N; ++j) {
      const float v = widen(pack.at[j]);
      squares += v * v;
    }
  }
  blockSums(squares, unused);
  const float scale = rsqrtf(squares / dim + eps);
  for (int i = threadIdx.x * N; i < dim; i += blockDim.x * N) {
    const Pack<In, N> pack = load<N>(in + i);
    Pack<Out, N> result;
    UNROLL
    for (int j = 0; j < N; ++j) {
      result.at[j] = narrow<Out>(element(weight, weightKind, i + j) * rounded<In>(widen(pack.at[j]) * scale));
    }
    store<N>(to + i, result);
  }
}

/// Blocks take rows in turn. `dWeight` [blocks, dim] float, or null; with it, shared memory for dim floats. `dSum`: what
/// x has of a gradient besides, or null.
template <typename In, typename Out, int N>
__device__ __forceinline__ void normBackward(const In* x, const void* weight, int weightKind, const Out* dOut,
                                             const In* dSum, In* dInput, float* dWeight, i64 rows, int dim, float eps) {
  DYNAMIC_SHARED(sums);
  if (dWeight) {
    for (int i = threadIdx.x * N; i < dim; i += blockDim.x * N) {
      for (int j = 0; j < N; ++j) sums[i + j] = 0.f;
    }
  }
  for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {
    const In* in = x + row * dim;
    const Out* given = dOut + row * dim;
    float squares = 0.f, along = 0.f;
    for (int i = threadIdx.x * N; i < dim; i += blockDim.x * N) {
      const Pack<In, N> pack = load<N>(in + i);
      const Pack<Out, N> grad = load<N>(given + i);
      UNROLL
      for (int j = 0; j < N; ++j) {
        const float v = widen(pack.at[j]);
        squares += v * v;
        along += v * widen(grad.at[j]) * element(weight, weightKind, i + j);
      }
    }
    blockSums(squares, along);
    const float scale = rsqrtf(squares / dim + eps);
    const float mean = along * scale / dim;  // of the normed times its gradient
    for (int i = threadIdx.x * N; i < dim; i += blockDim.x * N) {
      const Pack<In, N> pack = load<N>(in + i);
      const Pack<Out, N> grad = load<N>(given + i);
      Pack<In, N> more, result;
      if (dSum) more = load<N>(dSum + row * dim + i);
      UNROLL
      for (int j = 0; j < N; ++j) {
        const float normed = widen(pack.at[j]) * scale, dy = widen(grad.at[j]);
        if (dWeight) sums[i + j] += dy * normed;
        const float own = scale * (dy * element(weight, weightKind, i + j) - normed * mean);
        result.at[j] = narrow<In>(dSum ? widen(more.at[j]) + own : own);
      }
      if (dInput) store<N>(dInput + row * dim + i, result);
    }
  }
  if (dWeight) {
    float* to = dWeight + (i64)blockIdx.x * dim;
    for (int i = threadIdx.x * N; i < dim; i += blockDim.x * N) {
      for (int j = 0; j < N; ++j) to[i + j] = sums[i + j];
    }
  }
}

/// Where the angles of a row begin: rows are [.., heads], positions are those of the tokens, again and again.
__device__ __forceinline__ i64 anglesOf(i64 row, int heads, i64 positions, int dim) {
  return row / heads % positions * dim;
}

template <typename In, typename Out, int N>
__device__ __forceinline__ void ropeForward(const In* x, const void* weight, int weightKind, const void* cosine,
                                            const void* sine, int angleKind, Out* out, i64 rows, int heads,
                                            i64 positions, int dim, float eps) {
  const int lane = threadIdx.x & 31, half = dim / 2;
  const i64 row = (i64)blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5);
  if (row >= rows) return;  // a whole warp
  const In* in = x + row * dim;
  Out* to = out + row * dim;
  float squares = 0.f;
  for (int i = lane * N; i < dim; i += 32 * N) {
    const Pack<In, N> pack = load<N>(in + i);
    UNROLL
    for (int j = 0; j < N; ++j) {
      const float v = widen(pack.at[j]);
      squares += v * v;
    }
  }
  const float scale = rsqrtf(warpSum(squares) / dim + eps);
  const i64 angles = anglesOf(row, heads, positions, dim);
  for (int i = lane * N; i < half; i += 32 * N) {
    const Pack<In, N> a = load<N>(in + i), b = load<N>(in + half + i);
    Pack<Out, N> lows, highs;
    UNROLL
    for (int j = 0; j < N; ++j) {
      const int l = i + j, k = l + half;
      const float low = rounded<Out>(element(weight, weightKind, l) * rounded<In>(widen(a.at[j]) * scale));
      const float high = rounded<Out>(element(weight, weightKind, k) * rounded<In>(widen(b.at[j]) * scale));
      const float straightLow = rounded<Out>(low * element(cosine, angleKind, angles + l));
      const float straightHigh = rounded<Out>(high * element(cosine, angleKind, angles + k));
      const float turnedLow = rounded<Out>(high * element(sine, angleKind, angles + l));
      const float turnedHigh = rounded<Out>(low * element(sine, angleKind, angles + k));
      lows.at[j] = narrow<Out>(straightLow - turnedLow);
      highs.at[j] = narrow<Out>(straightHigh + turnedHigh);
    }
    store<N>(to + i, lows);
    store<N>(to + half + i, highs);
  }
}

/// Two elements of a gradient, half a head apart, turned back. The sine is that of where an element went.
struct Turned {
  float low, high;

  __device__ __forceinline__ Turned(float gLow, float gHigh, const void* cosine, const void* sine, int kind, i64 l,
                                    i64 k)
      : low(gLow * element(cosine, kind, l) + gHigh * element(sine, kind, k)),
        high(gHigh * element(cosine, kind, k) - gLow * element(sine, kind, l)) {}
};

/// Warps take rows in turn. `dWeight` [warps of all blocks, dim] float, zeros, or null: each warp adds up in its own row.
template <typename In, typename Out, int N>
__device__ __forceinline__ void ropeBackward(const In* x, const void* weight, int weightKind, const void* cosine,
                                             const void* sine, int angleKind, const Out* dOut, In* dInput,
                                             float* dWeight, i64 rows, int heads, i64 positions, int dim, float eps) {
  const int lane = threadIdx.x & 31, half = dim / 2, warps = blockDim.x >> 5;
  const i64 warp = (i64)blockIdx.x * warps + (threadIdx.x >> 5), step = (i64)gridDim.x * warps;
  float* sums = dWeight ? dWeight + warp * dim : 0;
  for (i64 row = warp; row < rows; row += step) {
    const In* in = x + row * dim;
    const Out* given = dOut + row * dim;
    const i64 angles = anglesOf(row, heads, positions, dim);
    float squares = 0.f, along = 0.f;
    for (int i = lane * N; i < half; i += 32 * N) {
      const Pack<In, N> a = load<N>(in + i), b = load<N>(in + half + i);
      const Pack<Out, N> da = load<N>(given + i), db = load<N>(given + half + i);
      UNROLL
      for (int j = 0; j < N; ++j) {
        const int l = i + j, k = l + half;
        const float low = widen(a.at[j]), high = widen(b.at[j]);
        const Turned d(widen(da.at[j]), widen(db.at[j]), cosine, sine, angleKind, angles + l, angles + k);
        squares += low * low + high * high;
        along += low * d.low * element(weight, weightKind, l) + high * d.high * element(weight, weightKind, k);
      }
    }
    squares = warpSum(squares);
    along = warpSum(along);
    const float scale = rsqrtf(squares / dim + eps), mean = along * scale / dim;
    for (int i = lane * N; i < half; i += 32 * N) {
      const Pack<In, N> a = load<N>(in + i), b = load<N>(in + half + i);
      const Pack<Out, N> da = load<N>(given + i), db = load<N>(given + half + i);
      Pack<In, N> lows, highs;
      UNROLL
      for (int j = 0; j < N; ++j) {
        const int l = i + j, k = l + half;
        const float low = widen(a.at[j]) * scale, high = widen(b.at[j]) * scale;
        const Turned d(widen(da.at[j]), widen(db.at[j]), cosine, sine, angleKind, angles + l, angles + k);
        if (sums) {
          sums[l] += d.low * low;
          sums[k] += d.high * high;
        }
        lows.at[j] = narrow<In>(scale * (d.low * element(weight, weightKind, l) - low * mean));
        highs.at[j] = narrow<In>(scale * (d.high * element(weight, weightKind, k) - high * mean));
      }
      if (dInput) {
        store<N>(dInput + row * dim + i, lows);
        store<N>(dInput + row * dim + half + i, highs);
      }
    }
  }
}

#define NORM(suffix, In, Out, N)                                                                                      \
  extern "C" __global__ void __launch_bounds__(256) rms_norm_forward_##suffix(                                        \
      const In* x, const void* weight, int weightKind, Out* out, int dim, float eps) {                                \
    normForward<In, Out, N>(x, 0, 0, weight, weightKind, out, dim, eps);                                              \
  }                                                                                                                   \
  KERNEL(rms_norm_forward_##suffix)                                                                                   \
  extern "C" __global__ void __launch_bounds__(256)                                                                   \
      add_rms_norm_forward_##suffix(const In* x, const In* residual, In* sum, const void* weight, int weightKind,     \
                                    Out* out, int dim, float eps) {                                                   \
    normForward<In, Out, N>(x, residual, sum, weight, weightKind, out, dim, eps);                                     \
  }                                                                                                                   \
  KERNEL(add_rms_norm_forward_##suffix)                                                                               \
  extern "C" __global__ void __launch_bounds__(256)                                                                   \
      rms_norm_backward_##suffix(const In* x, const void* weight, int weightKind, const Out* dOut, const In* dSum,    \
                                 In* dInput, float* dWeight, i64 rows, int dim, float eps) {                          \
    normBackward<In, Out, N>(x, weight, weightKind, dOut, dSum, dInput, dWeight, rows, dim, eps);                     \
  }                                                                                                                   \
  KERNEL(rms_norm_backward_##suffix)
/// `one`: for rows that 16 bytes do not divide.
#define NORMS(suffix, In, Out)                                                                                        \
  NORM(suffix, In, Out, Wide<In>::count)                                                                              \
  NORM(suffix##_one, In, Out, 1)
/// Backward asks for six blocks an SM, not more: for more, ptxas holds 64 registers and spills on some architectures.
#define ROPE(suffix, In, Out, N)                                                                                      \
  extern "C" __global__ void __launch_bounds__(128)                                                                   \
      norm_rope_forward_##suffix(const In* x, const void* weight, int weightKind, const void* cosine,                 \
                                 const void* sine, int angleKind, Out* out, i64 rows, int heads, i64 positions,       \
                                 int dim, float eps) {                                                                \
    ropeForward<In, Out, N>(x, weight, weightKind, cosine, sine, angleKind, out, rows, heads, positions, dim, eps);      \
  }                                                                                                                   \
  KERNEL(norm_rope_forward_##suffix)                                                                                  \
  extern "C" __global__ void __launch_bounds__(128, 6)                                                                \
      norm_rope_backward_##suffix(const In* x, const void* weight, int weightKind, const void* cosine,                \
                                  const void* sine, int angleKind, const Out* dOut, In* dInput, float* dWeight,       \
                                  i64 rows, int heads, i64 positions, int dim, float eps) {                           \
    ropeBackward<In, Out, N>(x, weight, weightKind, cosine, sine, angleKind, dOut, dInput, dWeight, rows, heads,         \
                          positions, dim, eps);                                                                       \
  }                                                                                                                   \
  KERNEL(norm_rope_backward_##suffix)
#define ALL(suffix, In, Out)                                                                                          \
  NORMS(suffix, In, Out)                                                                                              \
  ROPE(suffix, In, Out, 2)                                                                                            \
  ROPE(suffix##_one, In, Out, 1)

ALL(f32_f32, float, float)
ALL(bf16_bf16, bf16, bf16)
ALL(bf16_f32, bf16, float)
ALL(f16_f16, fp16, fp16)
ALL(f16_f32, fp16, float)
