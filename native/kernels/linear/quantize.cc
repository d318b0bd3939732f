// Numbers to codes with a scale for each run of them, equal to bitsandbytes 0.50's on the CPU in every bit:
//
//   quantize_4bit(numbers, levels [16], run) -> codes [n / 2, 1] uint8, the first of two in the high bits; absmax [runs]
//   quantize_blockwise(numbers, levels [256], run) -> codes uint8 of the numbers' shape; absmax [runs]
//   level_steps(levels [256]) -> uint8 [65536 + 512]: the code of each step from -1 to 1, and 256 numbers of 16 bits, the
//     steps at which it changes as a tree: adamw.cc looks codes up in either
//   dequantize_blockwise(codes, levels [256], absmax, run) -> float of the codes' shape
//
// Dettmers et al. 2022 (arXiv:2110.02861) and 2023 (arXiv:2305.14314). A code is the nearest level's, a tie the lower one's;
// of 256 levels the nearest is looked up in 65,536 steps, as bitsandbytes does. The vectors: quantize_rows.h.

#include "kernels/vector_kernels.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/argsort.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <tuple>
#include <vector>

namespace qwen_pt {

namespace {

using at::Tensor;

constexpr int64_t kLongestRun = 4096;

void check(const Tensor& numbers, const Tensor& levels, int64_t count, int64_t run) {
  const auto dtype = numbers.scalar_type();
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf,
              "numbers of 16 bits or float32 are quantized, not ", dtype);
  TORCH_CHECK(levels.scalar_type() == at::kFloat && levels.is_contiguous() && levels.numel() == count, count,
              " levels of float32 are needed");
  TORCH_CHECK(run >= 2 && run <= kLongestRun && run % 2 == 0, "a run is 2 to 4096 numbers, not ", run);
}

/// Calls body(first run, numbers as float, their count) for some runs after another, the last of all perhaps not whole.
template <typename Body>
void forRuns(const Tensor& numbers, int64_t run, const Body& body) {
  const int64_t size = numbers.numel(), runs = (size + run - 1) / run, together = kLongestRun / run;
  const auto* from = static_cast<const char*>(numbers.const_data_ptr());
  at::parallel_for(0, runs, std::max<int64_t>(32768 / run, 1), [&](int64_t begin, int64_t end) {
    std::array<float, kLongestRun> wide;
    for (int64_t i = begin; i < end; i += together) {
      const int64_t first = i * run, count = std::min(std::min(i + together, end) * run, size) - first;
      vectorKernels().panel.widen(numbers.scalar_type(), from + first * numbers.element_size(), wide.data(), count);
      body(i, wide.data(), count);
    }
  });
}

float largest(const float* numbers, int64_t count) {
  // eight at a time: one maximum would wait for the one before it
  std::array<float, 8> most{};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (int64_t j = 0; j < 8; ++j) most[j] = std::max(most[j], std::fabs(numbers[i + j]));
  }
  for (; i < count; ++i) most[0] = std::max(most[0], std::fabs(numbers[i]));
  return *std::max_element(most.begin(), most.end());
}

FourBitPlaces placesOf(const Tensor& levels) {
  FourBitPlaces places{};
  const float* level = levels.const_data_ptr<float>();
  const Tensor order = at::argsort(levels);
  for (int64_t i = 0; i < 16; ++i) places.codes[i] = static_cast<uint8_t>(order.const_data_ptr<int64_t>()[i]);
  for (int64_t i = 0; i < 15; ++i) places.bounds[i] = (level[places.codes[i]] + level[places.codes[i + 1]]) / 2;
  return places;
}

/// The code of a number among the last, by division as bitsandbytes takes them.
uint8_t lastCode(const FourBitPlaces& places, float x) {
  int64_t place = 0;
  while (place < 15 && x > places.bounds[place]) ++place;
  return places.codes[place];
}

std::tuple<Tensor, Tensor> quantizeFourBit(const Tensor& given, const Tensor& levels, int64_t run) {
  check(given, levels, 16, run);
  const Tensor numbers = given.contiguous();
  const int64_t size = numbers.numel(), runs = (size + run - 1) / run;
  const Tensor codes = at::empty({(size + 1) / 2, 1}, numbers.options().dtype(at::kByte));
  const Tensor absmax = at::empty({runs}, numbers.options().dtype(at::kFloat));
  const FourBitPlaces places = placesOf(levels);
  auto* to = codes.data_ptr<uint8_t>();
  float* scales = absmax.data_ptr<float>();
  forRuns(numbers, run, [&](int64_t index, const float* x, int64_t count) {
    const int64_t whole = count / run;
    vectorKernels().quantize.fourBit(places, x, whole, run, to + index * run / 2, scales + index);
    if (whole * run == count) return;
    const float* rest = x + whole * run;
    const int64_t some = count - whole * run;
    const float scale = scales[index + whole] = std::max(largest(rest, some), kLeastScale);
    uint8_t* pair = to + (index + whole) * run / 2;
    const auto code = [&](int64_t i) {
      // a last number without a partner has zero for one
      return lastCode(places, i < some ? std::clamp(rest[i] / scale, -1.0f, 1.0f) : 0);
    };
    for (int64_t i = 0; i < some; i += 2) *pair++ = static_cast<uint8_t>(code(i) << 4 | code(i + 1));
  });
  return {codes, absmax};
}

constexpr int64_t kSteps = 65536;

std::vector<uint8_t> nearestByStep(const Tensor& levels) {
  const float* level = levels.const_data_ptr<float>();
  std::vector<uint8_t> nearest(kSteps);
  int64_t code = 0;
  for (int64_t i = 0; i < kSteps; ++i) {
    const float value = -1.0f + (2.0f * static_cast<float>(i)) / (kSteps - 1);
    while (code < 255 && 0.5f * (level[code] + level[code + 1]) < value) ++code;
    nearest[i] = static_cast<uint8_t>(code);
  }
  return nearest;
}

/// The steps at which the codes change, as a tree: node n has those below it at 2 n and those above at 2 n + 1.
void plantSteps(const std::vector<uint8_t>& nearest, uint16_t* tree) {
  std::array<uint16_t, 255> changes;
  int64_t code = 0;
  for (int64_t i = 0; i < kSteps; ++i) {
    for (; code < nearest[i]; ++code) changes[code] = static_cast<uint16_t>(i);
  }
  tree[0] = 0;
  for (int64_t depth = 0; depth < 8; ++depth) {
    for (int64_t i = 0; i < int64_t(1) << depth; ++i) {
      tree[(int64_t(1) << depth) + i] = changes[(2 * i + 1) * (128 >> depth) - 1];
    }
  }
}

Tensor levelSteps(const Tensor& levels) {
  TORCH_CHECK(levels.scalar_type() == at::kFloat && levels.is_contiguous() && levels.numel() == 256,
              "256 levels of float32 are needed");
  const std::vector<uint8_t> nearest = nearestByStep(levels);
  TORCH_CHECK(nearest.back() == 255, "levels must end with 1");
  const Tensor out = at::empty({kSteps + 512}, levels.options().dtype(at::kByte));
  auto* to = out.data_ptr<uint8_t>();
  std::copy(nearest.begin(), nearest.end(), to);
  plantSteps(nearest, reinterpret_cast<uint16_t*>(to + kSteps));
  return out;
}

std::tuple<Tensor, Tensor> quantizeBlockwise(const Tensor& given, const Tensor& levels, int64_t run) {
  check(given, levels, 256, run);
  const Tensor numbers = given.contiguous();
  const Tensor codes = at::empty(numbers.sizes(), numbers.options().dtype(at::kByte));
  const Tensor absmax = at::empty({(numbers.numel() + run - 1) / run}, numbers.options().dtype(at::kFloat));
  const std::vector<uint8_t> nearest = nearestByStep(levels);
  auto* to = codes.data_ptr<uint8_t>();
  float* scales = absmax.data_ptr<float>();
  forRuns(numbers, run, [&](int64_t index, const float* x, int64_t all) {
    for (int64_t start = 0; start < all; start += run, ++index) {
      const int64_t count = std::min(run, all - start);
      const float most = scales[index] = largest(x + start, count);
      uint8_t* code = to + index * run;
      if (most == 0) {
        std::fill_n(code, count, uint8_t(0));
        continue;
      }
      const float factor = 1.0f / most;
      for (int64_t i = 0; i < count; ++i) {
        const float value = std::clamp(x[start + i] * factor, -1.0f, 1.0f);
        // rounded once: bitsandbytes is compiled with fused multiply-adds
        code[i] = nearest[static_cast<uint16_t>(
            static_cast<float>(static_cast<double>((value + 1.0f) * 0.5f) * (kSteps - 1) + 0.5))];
      }
    }
  });
  return {codes, absmax};
}

Tensor dequantizeBlockwise(const Tensor& given, const Tensor& levels, const Tensor& absmax, int64_t run) {
  const Tensor codes = given.contiguous();
  TORCH_CHECK(codes.scalar_type() == at::kByte && levels.scalar_type() == at::kFloat && levels.numel() == 256 &&
                  absmax.scalar_type() == at::kFloat && absmax.is_contiguous() && run > 0 &&
                  absmax.numel() == (codes.numel() + run - 1) / run,
              "uint8 codes, 256 levels and a scale for each run are needed");
  const Tensor out = at::empty(codes.sizes(), codes.options().dtype(at::kFloat));
  const auto* code = codes.const_data_ptr<uint8_t>();
  const float *level = levels.const_data_ptr<float>(), *scales = absmax.const_data_ptr<float>();
  float* to = out.data_ptr<float>();
  at::parallel_for(0, codes.numel(), 32768, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = level[code[i]] * scales[i / run];
  });
  return out;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(qwen_pt, library) {
  library.def("quantize_4bit(Tensor numbers, Tensor levels, int run) -> (Tensor, Tensor)");
  library.def("quantize_blockwise(Tensor numbers, Tensor levels, int run) -> (Tensor, Tensor)");
  library.def("level_steps(Tensor levels) -> Tensor");
  library.def("dequantize_blockwise(Tensor codes, Tensor levels, Tensor absmax, int run) -> Tensor");
}

TORCH_LIBRARY_IMPL(qwen_pt, CPU, library) {
  library.impl("quantize_4bit", quantizeFourBit);
  library.impl("quantize_blockwise", quantizeBlockwise);
  library.impl("level_steps", levelSteps);
  library.impl("dequantize_blockwise", dequantizeBlockwise);
}

}  // namespace qwen_pt
