// Conversion between JavaScript values and IValues, by the types of an operator's schema.
#include "operator.h"

#include <ATen/ScalarOps.h>
#include <ATen/core/List.h>
#include <ATen/core/jit_type.h>

#include <cmath>

#include "tensors/dtype.h"
#include "tensors/generator.h"

namespace qwen_pt {

namespace {

Kind kindOfElement(const c10::TypePtr& type) {
  switch (type->kind()) {
    case c10::TypeKind::TensorType: return Kind::TensorList;
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType: return Kind::IntList;
    case c10::TypeKind::FloatType: return Kind::FloatList;
    case c10::TypeKind::BoolType: return Kind::BoolList;
    case c10::TypeKind::NumberType: return Kind::ScalarList;
    case c10::TypeKind::OptionalType:
      return type->castRaw<c10::OptionalType>()->getElementType()->kind() == c10::TypeKind::TensorType
                 ? Kind::OptionalTensorList
                 : Kind::Refused;
    default: return Kind::Refused;
  }
}

Kind kindOf(const c10::TypePtr& type) {
  switch (type->kind()) {
    case c10::TypeKind::TensorType: return Kind::Tensor;
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType: return Kind::Int;
    case c10::TypeKind::FloatType: return Kind::Float;
    case c10::TypeKind::BoolType:
    case c10::TypeKind::SymBoolType: return Kind::Bool;
    case c10::TypeKind::NumberType: return Kind::Scalar;
    case c10::TypeKind::StringType: return Kind::String;
    case c10::TypeKind::ScalarTypeType: return Kind::ScalarType;
    case c10::TypeKind::LayoutType: return Kind::Layout;
    case c10::TypeKind::MemoryFormatType: return Kind::MemoryFormat;
    case c10::TypeKind::DeviceObjType: return Kind::Device;
    case c10::TypeKind::GeneratorType: return Kind::Generator;
    case c10::TypeKind::ListType: return kindOfElement(type->castRaw<c10::ListType>()->getElementType());
    default: return Kind::Refused;
  }
}

[[noreturn]] void mismatch(const Parameter& parameter, const char* expected) {
  throw CodedError("ERR_ARGUMENT", "argument '" + parameter.name + "' (" + parameter.type + ") must be " + expected);
}

bool isNumber(napi_env env, napi_value value, double& number) {
  return napi_get_value_double(env, value, &number) == napi_ok;
}

bool isBigInt(napi_env env, napi_value value, int64_t& number) {
  bool lossless = false;
  return napi_get_value_bigint_int64(env, value, &number, &lossless) == napi_ok && lossless;
}

// An integral number stays an integer, so that int.mul(2) stays int. -0 is a float: an integer has no sign of zero.
at::Scalar toScalar(napi_env env, const Parameter& parameter, napi_value value) {
  double number = 0;
  if (isNumber(env, value, number)) {
    if (number == std::trunc(number) && std::abs(number) < 9007199254740992.0 &&
        !(number == 0 && std::signbit(number))) {
      return at::Scalar(static_cast<int64_t>(number));
    }
    return at::Scalar(number);
  }
  bool flag = false;
  if (napi_get_value_bool(env, value, &flag) == napi_ok) return at::Scalar(flag);
  int64_t big = 0;
  if (isBigInt(env, value, big)) return at::Scalar(big);
  mismatch(parameter, "a number");
}

at::Tensor toTensor(napi_env env, Instance& instance, const Parameter& parameter, napi_value value) {
  if (Handle* handle = Instance::tryHandle(env, value)) {
    if (!handle->tensor.defined()) {
      throw CodedError("ERR_DISPOSED", "argument '" + parameter.name +
                                           "' was used after it was disposed of, or after its scope closed");
    }
    return handle->tensor;
  }
  napi_valuetype type;
  check(env, napi_typeof(env, value, &type));
  if (type != napi_number && type != napi_boolean && type != napi_bigint) mismatch(parameter, "a Tensor or a number");
  // A number beside a tensor takes the tensor's dtype, as in Python: a 0-dimensional "wrapped number".
  at::Tensor wrapped = c10::scalar_to_tensor(toScalar(env, parameter, value));
  wrapped.unsafeGetTensorImpl()->set_wrapped_number(true);
  return wrapped;
}

int64_t toInt(napi_env env, const Parameter& parameter, napi_value value) {
  double number = 0;
  if (isNumber(env, value, number)) {
    if (number != std::trunc(number) || std::abs(number) > 9007199254740992.0) mismatch(parameter, "an integer");
    return static_cast<int64_t>(number);
  }
  int64_t big = 0;
  if (isBigInt(env, value, big)) return big;
  bool flag = false;
  if (napi_get_value_bool(env, value, &flag) == napi_ok) return flag;
  mismatch(parameter, "an integer");
}

std::vector<napi_value> items(napi_env env, const Parameter& parameter, napi_value value) {
  bool isArray = false;
  check(env, napi_is_array(env, value, &isArray));
  if (isArray) return toArray(env, value, parameter.name.c_str());
  if (parameter.size > 0) return std::vector<napi_value>(parameter.size, value);
  mismatch(parameter, "an array");
}

template <class Element, class Convert>
c10::IValue listOf(const std::vector<napi_value>& values, Convert&& convert) {
  c10::List<Element> list;
  list.reserve(values.size());
  for (napi_value value : values) list.push_back(convert(value));
  return list;
}

int64_t memoryFormat(const Parameter& parameter, const std::string& name) {
  if (name == "contiguous") return static_cast<int64_t>(at::MemoryFormat::Contiguous);
  if (name == "preserve") return static_cast<int64_t>(at::MemoryFormat::Preserve);
  if (name == "channels_last") return static_cast<int64_t>(at::MemoryFormat::ChannelsLast);
  if (name == "channels_last_3d") return static_cast<int64_t>(at::MemoryFormat::ChannelsLast3d);
  mismatch(parameter, "'contiguous', 'preserve', 'channels_last' or 'channels_last_3d'");
}

int64_t layout(const Parameter& parameter, const std::string& name) {
  if (name == "strided") return static_cast<int64_t>(at::kStrided);
  if (name == "sparse_coo") return static_cast<int64_t>(at::kSparse);
  mismatch(parameter, "'strided' or 'sparse_coo'");
}

std::string text(napi_env env, const Parameter& parameter, napi_value value) {
  napi_valuetype type;
  check(env, napi_typeof(env, value, &type));
  if (type != napi_string) mismatch(parameter, "a string");
  return toString(env, value, parameter.name.c_str());
}

}  // namespace

Operator::Operator(c10::OperatorHandle found) : handle(std::move(found)) {
  const auto& schema = handle.schema();
  name = schema.name() + (schema.overload_name().empty() ? "" : "." + schema.overload_name());
  const auto& arguments = schema.arguments();
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto& argument = arguments[i];
    Parameter parameter;
    parameter.name = argument.name();
    c10::TypePtr type = argument.real_type();
    parameter.type = type->annotation_str();
    if (type->kind() == c10::TypeKind::OptionalType) {
      parameter.optional = true;
      type = type->castRaw<c10::OptionalType>()->getElementType();
    }
    parameter.kind = kindOf(type);
    parameter.keywordOnly = argument.kwarg_only();
    parameter.size = argument.N().value_or(0);
    parameter.hasDefault = argument.default_value().has_value();
    if (parameter.hasDefault) parameter.defaultValue = *argument.default_value();
    parameters.push_back(std::move(parameter));
  }
  const auto& returns = schema.returns();
  if (returns.size() != 1 || !returns[0].alias_info() || !returns[0].alias_info()->isWrite()) return;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto* alias = arguments[i].alias_info();
    if (alias && alias->isWrite() && alias->beforeSets() == returns[0].alias_info()->beforeSets()) {
      this->alias = static_cast<int32_t>(i);
    }
  }
}

c10::IValue toIValue(napi_env env, Instance& instance, const Parameter& parameter, napi_value value) {
  switch (parameter.kind) {
    case Kind::Tensor: return toTensor(env, instance, parameter, value);
    case Kind::TensorList:
      return listOf<at::Tensor>(items(env, parameter, value),
                                [&](napi_value item) { return toTensor(env, instance, parameter, item); });
    case Kind::OptionalTensorList:
      return listOf<std::optional<at::Tensor>>(items(env, parameter, value),
                                               [&](napi_value item) -> std::optional<at::Tensor> {
                                                 if (isNullish(env, item)) return std::nullopt;
                                                 return toTensor(env, instance, parameter, item);
                                               });
    case Kind::Int: return toInt(env, parameter, value);
    case Kind::IntList:
      return listOf<int64_t>(items(env, parameter, value),
                             [&](napi_value item) { return toInt(env, parameter, item); });
    case Kind::Float: {
      double number = 0;
      if (!isNumber(env, value, number)) mismatch(parameter, "a number");
      return number;
    }
    case Kind::FloatList:
      return listOf<double>(items(env, parameter, value), [&](napi_value item) {
        double number = 0;
        if (!isNumber(env, item, number)) mismatch(parameter, "an array of numbers");
        return number;
      });
    case Kind::Bool: {
      bool flag = false;
      if (napi_get_value_bool(env, value, &flag) != napi_ok) mismatch(parameter, "true or false");
      return flag;
    }
    case Kind::BoolList:
      return listOf<bool>(items(env, parameter, value), [&](napi_value item) {
        bool flag = false;
        if (napi_get_value_bool(env, item, &flag) != napi_ok) mismatch(parameter, "an array of true and false");
        return flag;
      });
    case Kind::Scalar: return toScalar(env, parameter, value);
    case Kind::ScalarList:
      return listOf<at::Scalar>(items(env, parameter, value),
                                [&](napi_value item) { return toScalar(env, parameter, item); });
    case Kind::String: return text(env, parameter, value);
    case Kind::ScalarType: return static_cast<int64_t>(dtypeOf(text(env, parameter, value)));
    case Kind::Layout: return layout(parameter, text(env, parameter, value));
    case Kind::MemoryFormat: return memoryFormat(parameter, text(env, parameter, value));
    case Kind::Device: return deviceOf(text(env, parameter, value));
    case Kind::Generator: return generatorOf(env, value, parameter.name);
    case Kind::Refused: break;
  }
  throw CodedError("ERR_ARGUMENT", "argument '" + parameter.name + "' has the type " + parameter.type +
                                       ", which cannot be passed from JavaScript");
}

napi_value fromIValue(napi_env env, Instance& instance, const c10::IValue& value) {
  if (value.isTensor()) {
    const at::Tensor& tensor = value.toTensor();
    return tensor.defined() ? instance.wrap(tensor) : undefined(env);
  }
  if (value.isNone()) return undefined(env);
  if (value.isInt()) return toJs(env, value.toInt());
  if (value.isDouble()) return toJs(env, value.toDouble());
  if (value.isBool()) return toJs(env, value.toBool());
  if (value.isString()) return toJs(env, value.toStringRef());
  if (value.isDevice()) return toJs(env, value.toDevice().str());
  if (value.isSymInt()) return toJs(env, value.toSymInt().guard_int(__FILE__, __LINE__));
  if (value.isList() || value.isTuple()) {
    napi_value array;
    check(env, napi_create_array(env, &array));
    uint32_t index = 0;
    const auto append = [&](const c10::IValue& item) {
      check(env, napi_set_element(env, array, index++, fromIValue(env, instance, item)));
    };
    if (value.isTuple())
      for (const auto& item : value.toTupleRef().elements()) append(item);
    else
      for (const c10::IValue& item : value.toList()) append(item);
    return array;
  }
  throw CodedError("ERR_ARGUMENT",
                   "the result has the type " + value.tagKind() + ", which cannot be passed to JavaScript");
}

}  // namespace qwen_pt
