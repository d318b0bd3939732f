// What the kernels that go row by row, or number by number, are asked to do: norm.cc, swiglu.cc, linear_cross_entropy.cc
// and adamw.cc fill it in, norm_rows.h, swiglu_rows.h, cross_entropy_rows.h and adamw_runs.h do it. Widened numbers are
// float, double for double.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace qwen_pt {

/// RMS normalisation of rows [rows, dim], each then turned by its position's angles where there are any.
struct NormProblem {
  c10::ScalarType dtype;     // of the input and its gradient
  c10::ScalarType outDtype;  // of the output and its gradient: the same, or float
  int64_t dim;
  double eps;
  const void* input;
  const void* weight;            // [dim], widened
  const void* cosine = nullptr;  // [positions, dim], widened
  const void* sine = nullptr;    // [positions, dim], widened
  int64_t rowsPerPosition = 1;   // row r is at position r / rowsPerPosition, modulo their number
  int64_t positions = 1;
  void* out = nullptr;

  // The backward pass.
  const void* dOut = nullptr;
  void* dInput = nullptr;   // null where it is not wanted
  void* dWeight = nullptr;  // [dim], widened, added to; null where it is not wanted
};

struct NormKernel {
  void (*forward)(const NormProblem&, int64_t firstRow, int64_t endRow);
  void (*backward)(const NormProblem&, int64_t firstRow, int64_t endRow);
};

/// silu(gate) * up over `count` numbers.
struct SwigluProblem {
  c10::ScalarType dtype;
  const void *gate, *up;
  void* out = nullptr;
  const void* dOut = nullptr;
  void *dGate = nullptr, *dUp = nullptr;
};

struct SwigluKernel {
  void (*forward)(const SwigluProblem&, int64_t first, int64_t end);
  void (*backward)(const SwigluProblem&, int64_t first, int64_t end);
};

/// Cross entropy of rows [rows, classes] of logits, which become their gradients.
struct CrossEntropyProblem {
  c10::ScalarType dtype;
  int64_t classes;
  void* logits;
  const int64_t* labels;  // [rows], each below classes
  double scale;           // of the gradients
  bool gradient;          // whether the logits become gradients
  double* losses;         // [rows]
};

struct CrossEntropyKernel {
  void (*rows)(const CrossEntropyProblem&, int64_t firstRow, int64_t endRow);
};

/// One of AdamW's moments: float, or codes of 8 bits in runs of kAdamwRun with a scale each.
struct AdamwMoment {
  float* numbers = nullptr;
  uint8_t* codes = nullptr;
  float* scales = nullptr;
  const float* levels = nullptr;      // [256]
  const uint8_t* nearest = nullptr;   // [65536]: the code of each step from -1 to 1
  const uint16_t* changes = nullptr;  // [256]: the steps at which it changes, as a tree from 1 on
};

constexpr int64_t kAdamwRun = 256;

/// A step of AdamW over `count` numbers. What is said of the step is rounded to float where it is used.
struct AdamwProblem {
  c10::ScalarType dtype;  // of the parameter and its gradient: 16 bits or float
  int64_t count;
  void* parameter;
  const void* gradient;
  AdamwMoment mean, square;
  double beta1, beta2, eps;
  double kept;         // of the weights, before the update
  double rate;         // of the update, negative
  double correction1;  // 1 - beta1^step
  double correction2;  // the root of 1 - beta2^step
};

struct AdamwKernel {
  void (*runs)(const AdamwProblem&, int64_t firstRun, int64_t endRun);
};

}  // namespace qwen_pt
