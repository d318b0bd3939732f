// The binding: calls any operator that libtorch registers, by its schema. Operators are looked up once and known
// to JavaScript by a number; arguments and results are converted in operator.cc.
#include "dispatch.h"

#include <algorithm>

#include "operator.h"
#include "tensors/device.h"
#include "tensors/dtype.h"

namespace qwen_pt {

namespace {

c10::OperatorName parseName(const std::string& full) {
  const auto dot = full.find('.');
  if (dot == std::string::npos) return {full, ""};
  return {full.substr(0, dot), full.substr(dot + 1)};
}

std::string overloadsOf(const std::string& base) {
  std::string text;
  for (const auto& name : c10::Dispatcher::singleton().getAllOpNames()) {
    if (name.name != base) continue;
    text += (text.empty() ? "" : ", ") + name.name + (name.overload_name.empty() ? "" : "." + name.overload_name);
  }
  return text;
}

napi_value describeParameter(napi_env env, const Parameter& parameter) {
  napi_value object;
  check(env, napi_create_object(env, &object));
  const auto set = [&](const char* key, napi_value value) {
    check(env, napi_set_named_property(env, object, key, value));
  };
  set("name", toJs(env, parameter.name));
  set("type", toJs(env, parameter.type));
  set("optional", toJs(env, parameter.optional));
  set("hasDefault", toJs(env, parameter.hasDefault));
  set("keywordOnly", toJs(env, parameter.keywordOnly));
  return object;
}

// resolve("aten::sum.dim_IntList") -> {id, name, schema, parameters, alias, returns}
napi_value resolve(napi_env env, Instance& instance, const Arguments& args) {
  const std::string name = toString(env, args[0], "operator name");
  auto found = c10::Dispatcher::singleton().findSchema(parseName(name));
  if (!found) {
    const std::string overloads = overloadsOf(name.substr(0, name.find('.')));
    throw CodedError("ERR_UNKNOWN_OPERATOR", "libtorch has no operator " + name +
                                                 (overloads.empty() ? " (operators are named like aten::add.Tensor)"
                                                                    : "; it has " + overloads));
  }
  instance.operators.push_back(std::make_unique<Operator>(*found));
  const Operator& op = *instance.operators.back();
  napi_value result, parameters;
  check(env, napi_create_object(env, &result));
  check(env, napi_create_array(env, &parameters));
  for (size_t i = 0; i < op.parameters.size(); ++i) {
    check(env, napi_set_element(env, parameters, static_cast<uint32_t>(i), describeParameter(env, op.parameters[i])));
  }
  const auto set = [&](const char* key, napi_value value) {
    check(env, napi_set_named_property(env, result, key, value));
  };
  set("id", toJs(env, static_cast<int64_t>(instance.operators.size() - 1)));
  set("name", toJs(env, op.name));
  set("schema", toJs(env, c10::toString(op.handle.schema())));
  set("parameters", parameters);
  set("alias", toJs(env, static_cast<int64_t>(op.alias)));
  set("returns", toJs(env, static_cast<int64_t>(op.handle.schema().returns().size())));
  return result;
}

std::string describeOperands(const torch::jit::Stack& stack) {
  std::string text;
  const auto add = [&](const at::Tensor& tensor) {
    if (!tensor.defined()) return;
    text += text.empty() ? "" : ", ";
    text += dtypeName(tensor.scalar_type());
    text += "[";
    for (int64_t i = 0; i < tensor.dim(); ++i) text += (i ? "," : "") + std::to_string(tensor.size(i));
    text += "]";
    if (!isOnHost(tensor)) text += " " + tensor.device().str();
  };
  for (const auto& value : stack) {
    if (value.isTensor()) add(value.toTensor());
    else if (value.isTensorList()) {
      size_t shown = 0;
      for (const at::Tensor& tensor : value.toTensorVector())
        if (shown++ < 4) add(tensor);
    }
  }
  return text;
}

// libtorch consumes the stack as it goes, so the operands are described from a copy made only when a call fails:
// the handles are still there, in the caller's arguments.
[[noreturn]] void rethrowWithOperands(napi_env env, Instance& instance, const Operator& op, const Arguments& args) {
  torch::jit::Stack operands;
  for (size_t i = 1; i < args.count && i <= op.parameters.size(); ++i) {
    try {
      if (!isNullish(env, args[i])) operands.push_back(toIValue(env, instance, op.parameters[i - 1], args[i]));
    } catch (...) {
    }
  }
  const std::string described = describeOperands(operands);
  const std::string tail = described.empty() ? "" : " (operands: " + described + ")";
  try {
    throw;
  } catch (CodedError& error) {
    error.message = op.name + ": " + error.message;
    throw;
  } catch (c10::Error& error) {
    error.add_context(op.name + tail);
    throw;
  }
}

// invoke(id, ...arguments in the schema's order): undefined stands for the default.
napi_value invoke(napi_env env, Instance& instance, const Arguments& args) {
  uint32_t id = 0;
  check(env, napi_get_value_uint32(env, args[0], &id));
  const Operator& op = *instance.operators.at(id);
  Lease lease(instance);
  try {
    const size_t given = args.count - 1;
    if (given > op.parameters.size()) {
      throw CodedError("ERR_ARGUMENT",
                       "takes " + std::to_string(op.parameters.size()) + " arguments, got " + std::to_string(given));
    }
    torch::jit::Stack stack;
    stack.reserve(op.parameters.size());
    for (size_t i = 0; i < op.parameters.size(); ++i) {
      const Parameter& parameter = op.parameters[i];
      napi_valuetype type = napi_undefined;
      if (i < given) check(env, napi_typeof(env, args[i + 1], &type));
      if (type == napi_undefined && parameter.hasDefault) stack.push_back(parameter.defaultValue);
      else if (type == napi_undefined && !parameter.optional) {
        throw CodedError("ERR_ARGUMENT", "argument '" + parameter.name + "' (" + parameter.type + ") is missing");
      } else if ((type == napi_undefined || type == napi_null) && parameter.optional) stack.emplace_back();
      else stack.push_back(toIValue(env, instance, parameter, args[i + 1]));
    }
    op.handle.callBoxed(stack);
    if (op.alias >= 0 || stack.empty()) return undefined(env);
    if (stack.size() == 1) return fromIValue(env, instance, stack.front());
    napi_value array;
    check(env, napi_create_array_with_length(env, stack.size(), &array));
    for (size_t i = 0; i < stack.size(); ++i) {
      check(env, napi_set_element(env, array, static_cast<uint32_t>(i), fromIValue(env, instance, stack[i])));
    }
    return array;
  } catch (...) {
    rethrowWithOperands(env, instance, op, args);
  }
}

// operators() -> every name that `resolve` takes, sorted.
napi_value operators(napi_env env, Instance&, const Arguments&) {
  std::vector<std::string> names;
  for (const auto& name : c10::Dispatcher::singleton().getAllOpNames()) {
    names.push_back(name.name + (name.overload_name.empty() ? "" : "." + name.overload_name));
  }
  std::sort(names.begin(), names.end());
  napi_value array;
  check(env, napi_create_array_with_length(env, names.size(), &array));
  for (size_t i = 0; i < names.size(); ++i) {
    check(env, napi_set_element(env, array, static_cast<uint32_t>(i), toJs(env, names[i])));
  }
  return array;
}

}  // namespace

void defineDispatch(napi_env env, napi_value exports, Instance& instance) {
  define<resolve>(env, exports, instance, "resolve");
  define<invoke>(env, exports, instance, "invoke");
  define<operators>(env, exports, instance, "operators");
}

}  // namespace qwen_pt
