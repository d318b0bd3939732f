#include "cards/library.h"

#include <dlfcn.h>
#include <torch/headeronly/version.h>

#include <cstring>
#include <mutex>
#include <stdexcept>

#include <torch/csrc/distributed/c10d/Backend.hpp>

namespace qwen_pt {

namespace {

struct Library {
  const char* (*libtorch)() = nullptr;
  const char* (*device)() = nullptr;
  int (*card)(int, char*, char*) = nullptr;
  int (*open)(const BackendRequest*, void*, char*) = nullptr;
};

std::mutex mutex;
Library library;

template <class Function>
void find(void* handle, const char* name, Function*& into) {
  into = reinterpret_cast<Function*>(dlsym(handle, name));
  if (into == nullptr) throw std::runtime_error(std::string("it has no ") + name);
}

const Library& opened() {
  if (library.open == nullptr) throw std::runtime_error("no library that moves a card's tensors is open");
  return library;
}

void check(int result, const char* error) {
  if (result != 0) throw std::runtime_error(error);
}

}  // namespace

std::string openCardLibrary(const std::string& path) {
  const std::lock_guard lock(mutex);
  if (library.open != nullptr) return library.device();
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    const char* why = dlerror();
    throw std::runtime_error(why != nullptr ? why : "it cannot be opened");
  }
  Library found;
  find(handle, "qwen_pt_backend_libtorch", found.libtorch);
  if (std::strcmp(found.libtorch(), TORCH_VERSION) != 0)
    throw std::runtime_error(std::string("it was built for libtorch ") + found.libtorch() + ", this one is " +
                             TORCH_VERSION);
  find(handle, "qwen_pt_backend_device", found.device);
  find(handle, "qwen_pt_backend_card", found.card);
  find(handle, "qwen_pt_backend_open", found.open);
  library = found;
  return library.device();
}

bool isOfCards(const at::Tensor& tensor) {
  static const c10::DeviceType type = at::Device(opened().device()).type();
  return tensor.device().type() == type;
}

std::string cardName(int index) {
  char name[kMostText] = "", error[kMostText] = "";
  check(opened().card(index, name, error), error);
  return name;
}

c10::intrusive_ptr<c10d::Backend> openCardBackend(const BackendRequest& request) {
  c10::intrusive_ptr<c10d::Backend> made;
  char error[kMostText] = "";
  check(opened().open(&request, &made, error), error);
  return made;
}

}  // namespace qwen_pt
