// The headers that most files of native/ include and that take seconds to parse, compiled once (CMakeLists.txt). Every
// file includes what it uses anyway: the build by node-gyp knows no precompiled header.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>
