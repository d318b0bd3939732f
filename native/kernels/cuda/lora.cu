// What LoRA adds to a layer's product, and dropout before it: y += scale h b for h [rows, ranks], b [ranks, width], a tile
// of y a block, read and written once; and x with a mask, in one pass. Roundings are low_rank's on the processor.
#include "numbers.cuh"

/// Where something is dropped, y takes what the mask leaves of the product as T has it; else the product itself.
template <typename Y, typename T, int N>
__device__ __forceinline__ void loraUpdate(Y* y, const T* h, const T* b, const u8* mask, i64 rows, int width, int ranks,
                                           i64 hRow, i64 bRank, i64 bColumn, float scale) {
  const int kTall = 32, kDeep = 16, kRows = 4, kColumns = 32 * N;
  __shared__ float left[kTall][kDeep];
  __shared__ float right[kDeep][kColumns];
  const int across = (width + kColumns - 1) / kColumns, lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const i64 firstRow = (i64)(blockIdx.x / across) * kTall;
  const int firstColumn = (int)(blockIdx.x % across) * kColumns;
  float sums[kRows][N];
  for (int r = 0; r < kRows; ++r) {
    for (int j = 0; j < N; ++j) sums[r][j] = 0.f;
  }
  for (int start = 0; start < ranks; start += kDeep) {
    __syncthreads();  // before the last tiles are overwritten
    for (int i = threadIdx.x; i < kTall * kDeep; i += blockDim.x) {
      const int row = i / kDeep, k = i % kDeep;
      const bool inside = firstRow + row < rows && start + k < ranks;
      left[row][k] = inside ? widen(h[(firstRow + row) * hRow + start + k]) : 0.f;
    }
    for (int i = threadIdx.x; i < kDeep * kColumns; i += blockDim.x) {
      // neighbours in memory to neighbouring threads
      const int k = bRank == 1 ? i % kDeep : i / kColumns, c = bRank == 1 ? i / kDeep : i % kColumns;
      const bool inside = firstColumn + c < width && start + k < ranks;
      right[k][c] = inside ? widen(b[(start + k) * bRank + (firstColumn + c) * bColumn]) : 0.f;
    }
    __syncthreads();
    UNROLL
    for (int k = 0; k < kDeep; ++k) {
      UNROLL
      for (int r = 0; r < kRows; ++r) {
        const float share = left[warp * kRows + r][k];
        UNROLL
        for (int j = 0; j < N; ++j) sums[r][j] += share * right[k][lane * N + j];
      }
    }
  }
  const int column = firstColumn + lane * N;
  if (column >= width) return;
  UNROLL
  for (int r = 0; r < kRows; ++r) {
    const i64 row = firstRow + warp * kRows + r;
    if (row >= rows) return;
    const i64 at = row * width + column;
    Pack<Y, N> pack = load<N>(y + at);
    if (mask) {
      const Pack<u8, N> kept = load<N>(mask + at);
      UNROLL
      for (int j = 0; j < N; ++j) {
        if (kept.at[j]) pack.at[j] = narrow<Y>(widen(pack.at[j]) + rounded<T>(sums[r][j]) * scale);
      }
    } else {
      UNROLL
      for (int j = 0; j < N; ++j) pack.at[j] = narrow<Y>(widen(pack.at[j]) + sums[r][j] * scale);
    }
    store<N>(y + at, pack);
  }
}

template <typename In, typename Out, int N>
__device__ __forceinline__ void loraDrop(const In* x, const u8* mask, Out* out, i64 count, float factor) {
  for (i64 i = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * N; i < count; i += (i64)gridDim.x * blockDim.x * N) {
    const Pack<In, N> pack = load<N>(x + i);
    const Pack<u8, N> left = load<N>(mask + i);
    Pack<Out, N> result;
    UNROLL
    for (int j = 0; j < N; ++j) result.at[j] = narrow<Out>(left.at[j] ? widen(pack.at[j]) * factor : 0.f);
    store<N>(out + i, result);
  }
}

#define LORA_UPDATE(suffix, Y, T, N)                                                                                  \
  extern "C" __global__ void __launch_bounds__(256)                                                                   \
      lora_update_##suffix(Y* y, const T* h, const T* b, const u8* mask, i64 rows, int width, int ranks, i64 hRow,    \
                           i64 bRank, i64 bColumn, float scale) {                                                     \
    loraUpdate<Y, T, N>(y, h, b, mask, rows, width, ranks, hRow, bRank, bColumn, scale);                              \
  }                                                                                                                   \
  KERNEL(lora_update_##suffix)
#define LORA_DROP(suffix, In, Out, N)                                                                                 \
  extern "C" __global__ void __launch_bounds__(256)                                                                   \
      lora_drop_##suffix(const In* x, const u8* mask, Out* out, i64 count, float factor) {                            \
    loraDrop<In, Out, N>(x, mask, out, count, factor);                                                                \
  }                                                                                                                   \
  KERNEL(lora_drop_##suffix)
/// `one`: for widths and counts that do not divide so.
#define LORA(suffix, A, B, N)                                                                                         \
  LORA_UPDATE(suffix, A, B, N)                                                                                        \
  LORA_UPDATE(suffix##_one, A, B, 1)                                                                                  \
  LORA_DROP(suffix, A, B, N)                                                                                          \
  LORA_DROP(suffix##_one, A, B, 1)

LORA(f32_f32, float, float, 4)
LORA(bf16_bf16, bf16, bf16, 8)
LORA(f16_f16, fp16, fp16, 8)
LORA(f32_bf16, float, bf16, 4)
LORA(f32_f16, float, fp16, 4)
