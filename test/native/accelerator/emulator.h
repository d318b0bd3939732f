// A block's threads as fibers of one host thread: each runs until a barrier, or an exchange within its warp, and then the
// next. What CUDA C++ of native/kernels/cuda is compiled with, as C++, to see its arithmetic on a processor. It knows what
// those kernels use and no more: one dimension of blocks and threads, whole warps, __syncthreads, __shfl_xor_sync. A
// barrier that not every thread of a block reaches is found, and reported; races and memory's rules are not.
#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace emulated {

struct Index {
  unsigned x = 0;
};

enum class State { kRuns, kAtBarrier, kExchanges, kDone };

/// One thread of a block.
struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  State state;
};

constexpr size_t kStack = 64 << 10;
constexpr unsigned kWarp = 32;

/// What runs: a kernel's launch, block after block.
struct Machine {
  Index block, blocks, threads;
  std::vector<Fiber> fibers;
  std::vector<uint32_t> lanes;  // what each thread shows its warp
  std::vector<float> shared;
  ucontext_t home;
  unsigned now = 0;
  const std::function<void()>* body = nullptr;

  void wait(State state) {
    Fiber& fiber = fibers[now];
    fiber.state = state;
    swapcontext(&fiber.context, &home);
  }

  uint32_t exchange(uint32_t mine, unsigned mask) {
    const unsigned me = now;
    lanes[me] = mine;
    wait(State::kExchanges);
    const uint32_t theirs = lanes[me ^ mask];
    wait(State::kExchanges);  // before anyone shows the next
    return theirs;
  }
};

inline Machine& machine() {
  static Machine one;
  return one;
}

inline void enter() {
  Machine& m = machine();
  (*m.body)();
  m.fibers[m.now].state = State::kDone;
  swapcontext(&m.fibers[m.now].context, &m.home);
}

inline void startBlock(Machine& m) {
  for (Fiber& fiber : m.fibers) {
    if (!fiber.stack) fiber.stack.reset(new char[kStack]);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
    fiber.state = State::kRuns;
  }
}

/// Lets go of threads [first, end) where all that are left wait for the same. Returns whether some were.
inline bool release(Machine& m, unsigned first, unsigned end, State waited) {
  bool some = false;
  for (unsigned t = first; t < end; ++t) {
    if (m.fibers[t].state == State::kDone) continue;
    if (m.fibers[t].state != waited) return false;
    some = true;
  }
  for (unsigned t = first; some && t < end; ++t) {
    if (m.fibers[t].state != State::kDone) m.fibers[t].state = State::kRuns;
  }
  return some;
}

inline void runBlock(Machine& m) {
  const unsigned count = m.threads.x;
  startBlock(m);
  for (;;) {
    bool any = false, moved = false;
    for (unsigned t = 0; t < count; ++t) {
      any |= m.fibers[t].state != State::kDone;
      if (m.fibers[t].state != State::kRuns) continue;
      moved = true;
      m.now = t;
      swapcontext(&m.home, &m.fibers[t].context);
    }
    if (!any) return;
    for (unsigned w = 0; w < count; w += kWarp) moved |= release(m, w, w + kWarp, State::kExchanges);
    moved |= release(m, 0, count, State::kAtBarrier);
    if (!moved) throw std::runtime_error("a barrier that not every thread of the block reaches");
  }
}

inline void launch(unsigned blocks, unsigned threads, unsigned sharedBytes, const std::function<void()>& body) {
  if (threads == 0 || threads % kWarp != 0 || threads > 1024) throw std::runtime_error("blocks are of whole warps");
  Machine& m = machine();
  m.blocks.x = blocks;
  m.threads.x = threads;
  m.body = &body;
  m.fibers.resize(threads);
  m.lanes.resize(threads);
  m.shared.assign(sharedBytes / sizeof(float), 0.f);
  for (m.block.x = 0; m.block.x < blocks; ++m.block.x) runBlock(m);
}

inline float* sharedMemory() { return machine().shared.data(); }

using Launch = std::function<void(unsigned blocks, unsigned threads, unsigned shared, void** arguments)>;

inline std::map<std::string, Launch>& kernels() {
  static std::map<std::string, Launch> all;
  return all;
}

/// Registers a kernel under its name; its arguments come as pointers to each, as for cuLaunchKernel.
template <typename... A>
bool add(const char* name, void (*kernel)(A...)) {
  kernels()[name] = [kernel](unsigned blocks, unsigned threads, unsigned shared, void** arguments) {
    const std::function<void()> body = [&] {
      [&]<size_t... I>(std::index_sequence<I...>) {
        kernel(*static_cast<A*>(arguments[I])...);
      }(std::index_sequence_for<A...>());
    };
    launch(blocks, threads, shared, body);
  };
  return true;
}

inline Index thread() { return {machine().now}; }

}  // namespace emulated

#define QWEN_PT_EMULATED
#define KERNEL(name) static const bool kernel_of_##name = emulated::add(#name, name);
#define __global__
#define __device__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define threadIdx emulated::thread()
#define blockIdx emulated::machine().block
#define blockDim emulated::machine().threads
#define gridDim emulated::machine().blocks

inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}
inline float rsqrtf(float x) { return 1.f / std::sqrt(x); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline void __syncthreads() { emulated::machine().wait(emulated::State::kAtBarrier); }
inline float __shfl_xor_sync(unsigned, float value, int mask) {
  return __uint_as_float(emulated::machine().exchange(__float_as_uint(value), static_cast<unsigned>(mask)));
}

/// IEEE's half, by way of the exponent's difference; subnormals included.
inline float halfToFloat(unsigned short bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const float sign = bits & 0x8000 ? -1.f : 1.f;
  if (exponent == 31) return mantissa ? __uint_as_float(0x7fc00000u) : sign * __uint_as_float(0x7f800000u);
  return sign * (exponent ? std::ldexp(1024.f + mantissa, exponent - 25) : std::ldexp(float(mantissa), -24));
}
/// To nearest, ties to even.
inline unsigned short floatToHalf(float value) {
  const unsigned short sign = __float_as_uint(value) >> 16 & 0x8000;
  const float size = std::fabs(value);
  if (std::isnan(value)) return 0x7e00;
  if (size == 0.f) return sign;
  if (size >= 65520.f) return sign | 0x7c00;
  int exponent;
  std::frexp(size, &exponent);
  const int step = std::max(exponent - 11, -24);
  const auto units = static_cast<unsigned>(std::nearbyint(std::ldexp(size, -step)));  // of 2^step
  return sign | (step == -24 ? units : (step + 24) * 1024 + units);
}
