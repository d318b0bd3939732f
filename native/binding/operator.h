// One operator of libtorch, looked up once: what each argument takes, its default, what comes back.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <string>
#include <vector>

#include "instance.h"

namespace qwen_pt {

// What a schema's argument takes. From Argument::real_type(): type() says int for ScalarType, Layout and SymInt too.
// clang-format off: a list, not a column
enum class Kind : uint8_t {
  Tensor, TensorList, OptionalTensorList, Int, IntList, Float, FloatList, Bool, BoolList, Scalar, ScalarList,
  String, ScalarType, Layout, MemoryFormat, Device, Generator, Refused
};
// clang-format on

struct Parameter {
  std::string name;
  Kind kind = Kind::Refused;
  bool optional = false;  // None is a value
  bool hasDefault = false;
  bool keywordOnly = false;
  int32_t size = 0;  // int[2] has 2: one number stands for all of them
  std::string type;  // as the schema writes it
  c10::IValue defaultValue;
};

struct Operator {
  explicit Operator(c10::OperatorHandle found);

  c10::OperatorHandle handle;
  std::vector<Parameter> parameters;
  std::string name;    // aten::sum.dim_IntList
  int32_t alias = -1;  // the argument that comes back, for foo_ and out=
};

// Converts by the parameter's kind; throws CodedError naming the parameter.
c10::IValue toIValue(napi_env env, Instance& instance, const Parameter& parameter, napi_value value);
napi_value fromIValue(napi_env env, Instance& instance, const c10::IValue& value);

}  // namespace qwen_pt
