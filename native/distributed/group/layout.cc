// The start-up check of what was assumed about c10d's classes in place of gloo's headers. A group of one rank is made by
// libtorch in memory with a guard behind it: a class that has grown writes into the guard, a member that has moved
// reads back wrong. On Linux the sizes of the virtual tables are compared too.
#ifdef __linux__
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "background.h"
#include "group/group.h"

namespace qwen_pt {

namespace {

constexpr size_t kGuard = 512;
constexpr unsigned char kMark = 0xa5;

// Memory for a T, with a guard behind it.
template <class T>
struct Guarded {
  Guarded() : bytes(static_cast<unsigned char*>(std::aligned_alloc(64, (sizeof(T) + kGuard + 63) / 64 * 64))) {
    std::memset(bytes, kMark, sizeof(T) + kGuard);
  }
  ~Guarded() { std::free(bytes); }
  bool isWhole() const {
    return std::all_of(bytes + sizeof(T), bytes + sizeof(T) + kGuard, [](unsigned char byte) { return byte == kMark; });
  }
  unsigned char* bytes;
};

#ifdef __linux__
struct Table {
  const char* symbol;
  size_t words;
};
// By `nm -S` of libtorch_cpu 2.13.0, and the same by the compiler's own dump of these declarations.
constexpr Table kTables[] = {{"_ZTVN4c10d16ProcessGroupGlooE", 57},
                             {"_ZTVN4c10d16ProcessGroupGloo9AsyncWorkE", 24},
                             {"_ZTVN4c10d16ProcessGroupGloo7OptionsE", 8},
                             {"_ZTVN4c10d16ProcessGroupGloo9GlooStoreE", 14}};

std::string tableFault() {
  Dl_info library;
  void* inside = reinterpret_cast<void*>(&c10d::ProcessGroupGloo::createDefaultDevice);
  if (dladdr(inside, &library) == 0) return "";
  void* handle = dlopen(library.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  if (handle == nullptr) return "";
  for (const auto& [symbol, words] : kTables) {
    void* address = dlsym(handle, symbol);
    Dl_info info;
    const ElfW(Sym)* found = nullptr;
    if (address == nullptr || dladdr1(address, &info, (void**)&found, RTLD_DL_SYMENT) == 0 || found == nullptr)
      continue;  // a library that tells no sizes: what follows still checks
    if (found->st_size != words * sizeof(void*))
      return std::string(symbol) + " has " + std::to_string(found->st_size / sizeof(void*)) + " entries where " +
             std::to_string(words) + " were compiled";
  }
  return "";
}
#else
std::string tableFault() { return ""; }
#endif

std::string objectFault() {
  using Gloo = c10d::ProcessGroupGloo;
  constexpr std::chrono::milliseconds timeout(12345);
  Guarded<Gloo::Options> optionsMemory;
  auto* probe = new (optionsMemory.bytes) Gloo::Options(timeout);
  const bool optionsFit = optionsMemory.isWhole() && probe->timeout == timeout && probe->threads == 2 &&
                          probe->devices.empty() && probe->backend == c10d::GLOO_BACKEND_NAME;
  if (!optionsFit) return "ProcessGroupGloo::Options is laid out otherwise";  // not destroyed: it may not be one
  std::destroy_at(probe);

  auto options = Gloo::Options::create(timeout);
  options->devices.push_back(Gloo::createDeviceForHostname("127.0.0.1"));
  Guarded<Gloo> memory;
  auto* group = new (memory.bytes) Gloo(c10::make_intrusive<c10d::HashStore>(), 0, 1, options);
  const bool groupFits = memory.isWhole() && group->getRank() == 0 && group->getSize() == 1 &&
                         group->getOptions().get() == options.get() && group->getNumThreads() == 2;
  if (!groupFits) {
    memory.bytes = nullptr;  // its threads may still run in there
    return "ProcessGroupGloo is laid out otherwise";
  }
  std::destroy_at(group);
  return "";
}

}  // namespace

std::string layoutFault() {
  try {
    const auto fault = tableFault();
    return fault.empty() ? objectFault() : fault;
  } catch (...) {
    return messageInFlight();
  }
}

}  // namespace qwen_pt
