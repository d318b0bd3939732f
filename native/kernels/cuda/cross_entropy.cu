// Cross entropy of rows of logits against one label each, a block a row, and its gradient in the logits' own place:
//
//   nll = log(sum_j exp(z_j)) - z_label        z_j <- (exp(z_j) / sum - [j = label]) * scale
//
// Two passes over a row: its maximum and sum together (Milakov and Gimelshein 2018, arXiv:1805.02867), then the
// gradient. A row without a label has no loss, and its gradient is 0.
#include "numbers.cuh"

/// A maximum and the sum of exponentials below it.
struct Sum {
  float highest, total;
};

__device__ __forceinline__ Sum joined(Sum a, Sum b) {
  const float highest = fmaxf(a.highest, b.highest);
  if (highest == -infinity()) return a;  // nothing yet in either
  Sum sum;
  sum.highest = highest;
  sum.total = a.total * expf(a.highest - highest) + b.total * expf(b.highest - highest);
  return sum;
}

/// Over a block of whole warps, for every thread of it.
__device__ __forceinline__ Sum blockJoined(Sum sum) {
  __shared__ float highest[32], total[32];
  UNROLL
  for (int o = 16; o; o >>= 1) {
    Sum other;
    other.highest = __shfl_xor_sync(0xffffffffu, sum.highest, o);
    other.total = __shfl_xor_sync(0xffffffffu, sum.total, o);
    sum = joined(sum, other);
  }
  if ((threadIdx.x & 31) == 0) {
    highest[threadIdx.x >> 5] = sum.highest;
    total[threadIdx.x >> 5] = sum.total;
  }
  __syncthreads();
  Sum all;
  all.highest = highest[0];
  all.total = total[0];
  for (int i = 1; i < (int)(blockDim.x >> 5); ++i) {
    Sum other;
    other.highest = highest[i];
    other.total = total[i];
    all = joined(all, other);
  }
  return all;
}

template <typename T, int N>
__device__ __forceinline__ void crossEntropy(T* logits, const i64* labels, float* losses, i64 classes, i64 ignored,
                                             float scale, int wantsGradient) {
  T* row = logits + (i64)blockIdx.x * classes;
  const i64 label = labels[blockIdx.x];
  if (label == ignored) {  // the whole block
    if (threadIdx.x == 0) losses[blockIdx.x] = 0.f;
    if (!wantsGradient) return;
    Pack<T, N> none;
    for (int j = 0; j < N; ++j) none.at[j] = narrow<T>(0.f);
    for (i64 i = (i64)threadIdx.x * N; i < classes; i += (i64)blockDim.x * N) store<N>(row + i, none);
    return;
  }
  Sum sum;
  sum.highest = -infinity();
  sum.total = 0.f;
  for (i64 i = (i64)threadIdx.x * N; i < classes; i += (i64)blockDim.x * N) {
    const Pack<T, N> pack = load<N>(row + i);
    float wide[N], highest = sum.highest;
    UNROLL
    for (int j = 0; j < N; ++j) {
      wide[j] = widen(pack.at[j]);
      highest = fmaxf(highest, wide[j]);
    }
    float total = sum.total * expf(sum.highest - highest);
    UNROLL
    for (int j = 0; j < N; ++j) total += expf(wide[j] - highest);
    sum.highest = highest;
    sum.total = total;
  }
  sum = blockJoined(sum);
  // a label out of bounds poisons the loss, as no thread may throw; the whole step is then refused
  const bool known = label >= 0 && label < classes;
  const float picked = known ? widen(row[label]) : notANumber();
  __syncthreads();  // before anyone overwrites what is picked
  if (threadIdx.x == 0) losses[blockIdx.x] = logf(sum.total) - (picked - sum.highest);
  if (!wantsGradient) return;
  const float factor = scale / sum.total;
  for (i64 i = (i64)threadIdx.x * N; i < classes; i += (i64)blockDim.x * N) {
    Pack<T, N> pack = load<N>(row + i);
    UNROLL
    for (int j = 0; j < N; ++j) {
      float grad = expf(widen(pack.at[j]) - sum.highest) * factor;
      if (i + j == label) grad -= scale;
      pack.at[j] = narrow<T>(grad);
    }
    store<N>(row + i, pack);
  }
}

#define CROSS_ENTROPY(suffix, T, N)                                                                                   \
  extern "C" __global__ void __launch_bounds__(512)                                                                   \
      cross_entropy_##suffix(T* logits, const i64* labels, float* losses, i64 classes, i64 ignored, float scale,      \
                             int wantsGradient) {                                                                     \
    crossEntropy<T, N>(logits, labels, losses, classes, ignored, scale, wantsGradient);                               \
  }                                                                                                                   \
  KERNEL(cross_entropy_##suffix)
/// `one`: for rows that 16 bytes do not divide.
#define BOTH(suffix, T)                                                                                               \
  CROSS_ENTROPY(suffix, T, Wide<T>::count)                                                                            \
  CROSS_ENTROPY(suffix##_one, T, 1)

BOTH(f32, float)
BOTH(bf16, bf16)
BOTH(f16, fp16)
