// silu(gate) * up, number by number, and its gradients. Formulas and roundings are swiglu_rows.h's.
#include "numbers.cuh"

__device__ __forceinline__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

template <typename T, int N>
__device__ __forceinline__ void swigluForward(const T* gate, const T* up, T* out, i64 count) {
  for (i64 i = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * N; i < count; i += (i64)gridDim.x * blockDim.x * N) {
    const Pack<T, N> g = load<N>(gate + i), u = load<N>(up + i);
    Pack<T, N> result;
    UNROLL
    for (int j = 0; j < N; ++j) {
      const float x = widen(g.at[j]);
      result.at[j] = narrow<T>(rounded<T>(x * sigmoid(x)) * widen(u.at[j]));
    }
    store<N>(out + i, result);
  }
}

template <typename T, int N>
__device__ __forceinline__ void swigluBackward(const T* gate, const T* up, const T* dOut, T* dGate, T* dUp, i64 count) {
  for (i64 i = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * N; i < count; i += (i64)gridDim.x * blockDim.x * N) {
    const Pack<T, N> g = load<N>(gate + i), u = load<N>(up + i), d = load<N>(dOut + i);
    Pack<T, N> ofGate, ofUp;
    UNROLL
    for (int j = 0; j < N; ++j) {
      const float x = widen(g.at[j]), given = widen(d.at[j]), share = sigmoid(x);
      ofUp.at[j] = narrow<T>(given * x * share);
      ofGate.at[j] = narrow<T>(given * widen(u.at[j]) * share * (1.f + x * (1.f - share)));
    }
    store<N>(dGate + i, ofGate);
    store<N>(dUp + i, ofUp);
  }
}

#define SWIGLU(suffix, T, N)                                                                                          \
  extern "C" __global__ void __launch_bounds__(256)                                                                   \
      swiglu_forward_##suffix(const T* gate, const T* up, T* out, i64 count) {                                        \
    swigluForward<T, N>(gate, up, out, count);                                                                        \
  }                                                                                                                   \
  KERNEL(swiglu_forward_##suffix)                                                                                     \
  extern "C" __global__ void __launch_bounds__(256)                                                                   \
      swiglu_backward_##suffix(const T* gate, const T* up, const T* dOut, T* dGate, T* dUp, i64 count) {              \
    swigluBackward<T, N>(gate, up, dOut, dGate, dUp, count);                                                          \
  }                                                                                                                   \
  KERNEL(swiglu_backward_##suffix)
/// `one`: for counts that 16 bytes do not divide.
#define BOTH(suffix, T)                                                                                               \
  SWIGLU(suffix, T, Wide<T>::count)                                                                                   \
  SWIGLU(suffix##_one, T, 1)

BOTH(f32, float)
BOTH(bf16, bf16)
BOTH(f16, fp16)
