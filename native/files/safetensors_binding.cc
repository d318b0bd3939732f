// What JavaScript sees of safetensors files: open, one tensor of an open file, close, write.
#include "safetensors_binding.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include <optional>
#include <unordered_map>

#include "atomic_file.h"
#include "binding/external.h"
#include "file_error.h"
#include "mapped_tensor.h"
#include "safetensors.h"
#include "tensors/device.h"
#include "tensors/dtype.h"

namespace qwen_pt {

namespace {

/// Empty once closed.
using OpenFile = std::optional<SafetensorsFile>;
using FileHandle = External<OpenFile, HandleKind::File>;

OpenFile& openFileOf(napi_env env, napi_value value) {
  OpenFile* found = FileHandle::find(env, value);
  if (!found) throw CodedError("ERR_ARGUMENT", "the file must be an open safetensors file");
  return *found;
}

// The format's errors and the system's, with the codes that lib/torch/safetensors.ts knows.
template <class Body>
auto coded(Body&& body) {
  try {
    return body();
  } catch (const SafetensorsError& error) {
    throw CodedError("ERR_SAFETENSORS", error.what());
  } catch (const FileError& error) {
    throw CodedError("ERR_FILE", error.what());
  }
}

// The types that tensors here may have. The others, fp8 and below, are read past and refused by name.
struct TypePair {
  SafetensorsDtype file;
  at::ScalarType tensor;
};
constexpr TypePair kTypes[] = {
    {SafetensorsDtype::BOOL, at::kBool},        {SafetensorsDtype::U8, at::kByte},
    {SafetensorsDtype::I8, at::kChar},          {SafetensorsDtype::I16, at::kShort},
    {SafetensorsDtype::U16, at::kUInt16},       {SafetensorsDtype::F16, at::kHalf},
    {SafetensorsDtype::BF16, at::kBFloat16},    {SafetensorsDtype::I32, at::kInt},
    {SafetensorsDtype::U32, at::kUInt32},       {SafetensorsDtype::F32, at::kFloat},
    {SafetensorsDtype::C64, at::kComplexFloat}, {SafetensorsDtype::F64, at::kDouble},
    {SafetensorsDtype::I64, at::kLong},         {SafetensorsDtype::U64, at::kUInt64},
};

// What dtype.h calls the type; the format's own name where tensors cannot have it.
std::string dtypeNameOf(SafetensorsDtype dtype) {
  for (const auto& pair : kTypes) {
    if (pair.file == dtype) return dtypeName(pair.tensor);
  }
  return nameOf(dtype);
}

std::string pathOf(napi_env env, napi_value value) {
  std::string path = toString(env, value, "path");
  if (path.find('\0') != std::string::npos) throw CodedError("ERR_ARGUMENT", "a path cannot contain a NUL character");
  return path;
}

napi_value array(napi_env env, size_t length) {
  napi_value value;
  check(env, napi_create_array_with_length(env, length, &value));
  return value;
}

template <class... Values>
napi_value tuple(napi_env env, Values... values) {
  napi_value result = array(env, sizeof...(values));
  uint32_t index = 0;
  (check(env, napi_set_element(env, result, index++, values)), ...);
  return result;
}

napi_value entries(napi_env env, const SafetensorsHeader& header) {
  napi_value list = array(env, header.tensors.size());
  for (size_t i = 0; i < header.tensors.size(); ++i) {
    const auto& entry = header.tensors[i];
    napi_value shape = array(env, entry.shape.size());
    for (size_t d = 0; d < entry.shape.size(); ++d) {
      check(env, napi_set_element(env, shape, d, toJs(env, static_cast<double>(entry.shape[d]))));
    }
    napi_value item = tuple(env, toJs(env, entry.name), toJs(env, dtypeNameOf(entry.dtype)), shape,
                            toJs(env, static_cast<double>(entry.end - entry.begin)));
    check(env, napi_set_element(env, list, i, item));
  }
  return list;
}

napi_value pairs(napi_env env, const SafetensorsMetadata& metadata) {
  napi_value list = array(env, metadata.size());
  for (size_t i = 0; i < metadata.size(); ++i) {
    napi_value pair = tuple(env, toJs(env, metadata[i].first), toJs(env, metadata[i].second));
    check(env, napi_set_element(env, list, i, pair));
  }
  return list;
}

// safetensorsOpen(path) -> [file, [name, dtype, shape, bytes][], [key, value][]]. Reads the header only.
napi_value safetensorsOpen(napi_env env, Instance&, const Arguments& args) {
  const std::string path = pathOf(env, args[0]);
  OpenFile file;
  coded([&] { file.emplace(SafetensorsFile::open(path)); });
  const SafetensorsHeader& header = file->header;
  napi_value tensors = entries(env, header);
  napi_value metadata = pairs(env, header.metadata);
  return tuple(env, FileHandle::hold(env, std::move(file)), tensors, metadata);
}

at::Tensor tensorOf(const SafetensorsFile& file, const std::string& name) {
  const SafetensorsEntry& entry = file.find(name);
  const std::string which = file.path + ": tensor " + quoted(name);
  std::optional<at::ScalarType> type;
  for (const auto& pair : kTypes) {
    if (pair.file == entry.dtype) type = pair.tensor;
  }
  if (!type) throw SafetensorsError(which + " has dtype " + nameOf(entry.dtype) + ", which is not supported");
  std::vector<int64_t> shape;
  for (const uint64_t size : entry.shape) {
    if (size > INT64_MAX) throw SafetensorsError(which + " has a shape that no tensor can have");
    shape.push_back(static_cast<int64_t>(size));
  }
  constexpr size_t kMostDimensions = 64;  // libtorch's
  if (shape.size() > kMostDimensions) throw SafetensorsError(which + " has more than 64 dimensions");
  return mappedTensor(file.mapping, file.data(entry), shape, *type);
}

// safetensorsTensor(file, name) -> tensor, on the file's own pages
napi_value safetensorsTensor(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  const OpenFile& file = openFileOf(env, args[0]);
  if (!file) throw CodedError("ERR_SAFETENSORS", "the safetensors file was closed");
  const std::string name = toString(env, args[1], "name");
  return instance.wrap(coded([&] { return tensorOf(*file, name); }));
}

// safetensorsClose(file): tensors that were made from it stay valid
napi_value safetensorsClose(napi_env env, Instance&, const Arguments& args) {
  openFileOf(env, args[0]).reset();
  return undefined(env);
}

// ---- writing

SafetensorsEntry entryOf(const std::string& path, const std::string& name, const at::Tensor& tensor) {
  SafetensorsEntry entry;
  entry.name = name;
  const std::string which = path + ": tensor " + quoted(name);
  if (tensor.layout() != at::kStrided || !hasMemory(tensor)) {
    throw SafetensorsError(which + " cannot be written: it is sparse or on the meta device");
  }
  bool known = false;
  for (const auto& pair : kTypes) {
    if (pair.tensor != tensor.scalar_type()) continue;
    entry.dtype = pair.file;
    known = true;
  }
  if (!known)
    throw SafetensorsError(which + " cannot be written: dtype " + dtypeName(tensor.scalar_type()) +
                           " is not supported");
  for (const int64_t size : tensor.sizes()) entry.shape.push_back(static_cast<uint64_t>(size));
  return entry;
}

void writeFile(const std::string& path, const std::vector<std::string>& names, const std::vector<at::Tensor>& tensors,
               const SafetensorsMetadata& metadata) {
  const at::NoGradGuard guard;
  std::vector<SafetensorsEntry> layout;
  std::unordered_map<std::string, const at::Tensor*> byName;
  for (size_t i = 0; i < names.size(); ++i) {
    layout.push_back(entryOf(path, names[i], tensors[i]));
    byName[names[i]] = &tensors[i];
  }
  std::string head;
  try {
    head = layOutSafetensors(layout, metadata);
  } catch (const SafetensorsError& error) {
    throw SafetensorsError(path + ": cannot be written: " + error.what());
  }
  AtomicFile file(path, head.size() + (layout.empty() ? 0 : layout.back().end));
  file.write(head.data(), head.size());
  for (const auto& entry : layout) {
    // One tensor at a time: a copy is made only of what is elsewhere or not in C order.
    const at::Tensor host = byName.at(entry.name)->detach().to(at::kCPU).resolve_conj().resolve_neg().contiguous();
    if (host.nbytes() != 0) file.write(host.const_data_ptr(), host.nbytes());
  }
  file.commit();
}

// safetensorsWrite(path, names, tensors, [key, value][])
napi_value safetensorsWrite(napi_env env, Instance& instance, const Arguments& args) {
  Lease lease(instance);
  const std::string path = pathOf(env, args[0]);
  std::vector<std::string> names;
  for (napi_value name : toArray(env, args[1], "names")) names.push_back(toString(env, name, "a name"));
  const std::vector<at::Tensor> tensors = toTensors(instance, args[2], "a tensor to write");
  if (names.size() != tensors.size()) throw CodedError("ERR_ARGUMENT", "as many names as tensors are needed");
  SafetensorsMetadata metadata;
  for (napi_value pair : toArray(env, args[3], "metadata")) {
    const auto items = toArray(env, pair, "a metadata pair");
    if (items.size() != 2) throw CodedError("ERR_ARGUMENT", "a metadata pair must be a key and a value");
    metadata.emplace_back(toString(env, items[0], "a metadata key"), toString(env, items[1], "a metadata value"));
  }
  coded([&] { writeFile(path, names, tensors, metadata); });
  return undefined(env);
}

}  // namespace

void defineSafetensors(napi_env env, napi_value exports, Instance& instance) {
  define<safetensorsOpen>(env, exports, instance, "safetensorsOpen");
  define<safetensorsTensor>(env, exports, instance, "safetensorsTensor");
  define<safetensorsClose>(env, exports, instance, "safetensorsClose");
  define<safetensorsWrite>(env, exports, instance, "safetensorsWrite");
}

}  // namespace qwen_pt
