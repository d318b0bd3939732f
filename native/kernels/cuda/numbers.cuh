// What every kernel here stands on: numbers of 16 bits, loads of 16 bytes, sums over a block. One source for NVRTC, which
// finds no header but this one, and for the tests' emulator (test/native/accelerator/emulator.h), which brings its own
// threads and defines QWEN_PT_EMULATED.
//
// Arithmetic is in float32 and follows the kernels of the processor (native/kernels/*_rows.h), roundings included.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef long long i64;

struct bf16 {
  u16 bits;
};
struct fp16 {
  u16 bits;
};
/// A kernel's name says what it takes: _f32, _bf16, _f16. Operands of another kind than the rest come with one of these.
enum Kind { kFloat32 = 0, kBFloat16 = 1, kFloat16 = 2 };

#ifdef QWEN_PT_EMULATED
#define DYNAMIC_SHARED(name) float* name = emulated::sharedMemory()
#define UNROLL
#else
#define DYNAMIC_SHARED(name) extern __shared__ float name[]
#define UNROLL _Pragma("unroll")
/// The emulator lists its kernels by it.
#define KERNEL(name)

__device__ __forceinline__ float halfToFloat(u16 bits) {
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(bits));
  return wide;
}
__device__ __forceinline__ u16 floatToHalf(float wide) {
  u16 bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(wide));
  return bits;
}
#endif

__device__ __forceinline__ float infinity() { return __uint_as_float(0x7f800000u); }
__device__ __forceinline__ float notANumber() { return __uint_as_float(0x7fc00000u); }

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ float widen(bf16 x) { return __uint_as_float((u32)x.bits << 16); }
__device__ __forceinline__ float widen(fp16 x) { return halfToFloat(x.bits); }

template <typename T>
struct Narrow;
template <>
struct Narrow<float> {
  static __device__ __forceinline__ float of(float x) { return x; }
};
template <>
struct Narrow<bf16> {
  /// To nearest, ties to even; NaN stays NaN. In integers, so that cards without bfloat16 (sm_75) do it too.
  static __device__ __forceinline__ bf16 of(float x) {
    const u32 b = __float_as_uint(x);
    bf16 result;
    result.bits = (b & 0x7fffffffu) > 0x7f800000u ? (u16)0x7fc0 : (u16)((b + 0x7fffu + ((b >> 16) & 1u)) >> 16);
    return result;
  }
};
template <>
struct Narrow<fp16> {
  static __device__ __forceinline__ fp16 of(float x) {
    fp16 result;
    result.bits = floatToHalf(x);
    return result;
  }
};
template <typename T>
__device__ __forceinline__ T narrow(float x) {
  return Narrow<T>::of(x);
}
/// As T has it.
template <typename T>
__device__ __forceinline__ float rounded(float x) {
  return widen(narrow<T>(x));
}
__device__ __forceinline__ float roundedTo(int kind, float x) {
  return kind == kBFloat16 ? rounded<bf16>(x) : kind == kFloat16 ? rounded<fp16>(x) : x;
}

/// An element of a vector whose kind is known at run time: weights, angles.
__device__ __forceinline__ float element(const void* of, int kind, i64 at) {
  if (kind == kFloat32) return ((const float*)of)[at];
  return kind == kBFloat16 ? widen(((const bf16*)of)[at]) : widen(((const fp16*)of)[at]);
}

/// N elements that are read and written as one.
template <typename T, int N>
struct alignas(sizeof(T) * N) Pack {
  T at[N];
};
/// Elements in 16 bytes.
template <typename T>
struct Wide {
  static const int count = 16 / (int)sizeof(T);
};
template <int N, typename T>
__device__ __forceinline__ Pack<T, N> load(const T* from) {
  return *(const Pack<T, N>*)from;
}
template <int N, typename T>
__device__ __forceinline__ void store(T* to, const Pack<T, N>& pack) {
  *(Pack<T, N>*)to = pack;
}

__device__ __forceinline__ float warpSum(float x) {
  UNROLL
  for (int o = 16; o; o >>= 1) x += __shfl_xor_sync(0xffffffffu, x, o);
  return x;
}

/// The sums of two values over a block of whole warps, for every thread of it. All threads must come.
__device__ __forceinline__ void blockSums(float& a, float& b) {
  __shared__ float parts[2][32];
  const int warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  a = warpSum(a);
  b = warpSum(b);
  if ((threadIdx.x & 31) == 0) {
    parts[0][warp] = a;
    parts[1][warp] = b;
  }
  __syncthreads();
  a = b = 0.f;
  for (int i = 0; i < warps; ++i) {
    a += parts[0][i];
    b += parts[1][i];
  }
  __syncthreads();
}
