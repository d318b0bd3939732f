// Finds and opens what an accelerator needs. Whether there is a device is not asked here: see tensors/device.cc.

#include "libraries.h"

#include <ATen/Context.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace qwen_pt {

namespace {

namespace fs = std::filesystem;

std::string loadError;

#ifdef _WIN32
void preferExpandableSegments() {}  // there are none on Windows
std::string folderOfTorch() {
  HMODULE module = GetModuleHandleA("torch_cpu.dll");
  char path[MAX_PATH] = {};
  if (!module || !GetModuleFileNameA(module, path, MAX_PATH)) return "";
  const std::string full = path;
  return full.substr(0, full.find_last_of("\\/") + 1);
}
constexpr const char* kCudaLibrary = "torch_cuda.dll";
constexpr const char* kBuiltins = "nvrtc-builtins64_";
constexpr const char* kCompiler = "nvrtc64_";
constexpr const char* kCompilerOfSystem = "nvrtc64_130_0.dll";
#else
/// Segments that grow keep the allocator of a device from falling into pieces. Whoever has set its options has chosen.
void preferExpandableSegments() {
  if (!getenv("PYTORCH_CUDA_ALLOC_CONF")) setenv("PYTORCH_ALLOC_CONF", "expandable_segments:True", /*overwrite=*/0);
}
std::string folderOfTorch() {
  Dl_info info{};
  if (!dladdr(reinterpret_cast<const void*>(&at::globalContext), &info) || !info.dli_fname) return "";
  const std::string full = info.dli_fname;
  return full.substr(0, full.find_last_of('/') + 1);
}
constexpr const char* kCudaLibrary = "libtorch_cuda.so";
constexpr const char* kBuiltins = "libnvrtc-builtins.so.";
constexpr const char* kCompiler = "libnvrtc.so.";
constexpr const char* kCompilerOfSystem = "libnvrtc.so";
#endif

/// Files of a folder whose names begin so, the last in order of names first: of several versions the newest.
std::vector<std::string> filesIn(const fs::path& folder, const std::string& prefix) {
  std::vector<std::string> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.path().filename().string().rfind(prefix, 0) == 0) found.push_back(entry.path().string());
  }
  std::sort(found.rbegin(), found.rend());
  return found;
}

/// Where NVIDIA's libraries lie: with an archive of libtorch beside it; with a wheel in other packages
/// (nvidia/cu13/lib, nvidia/cuda_nvrtc/lib).
std::vector<fs::path> nvidiaFolders(const fs::path& torch) {
  std::vector<fs::path> folders{torch};
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(torch / ".." / ".." / "nvidia", ignored)) {
    for (const char* name : {"lib", "bin"}) folders.push_back(entry.path() / name);
  }
  std::sort(folders.begin() + 1, folders.end());
  return folders;
}

/// The compiler of a folder, after what it compiles in: it looks for that by name alone, where the loader looks.
void* openCompiler(const fs::path& folder, const std::vector<std::string>& files, std::string& error) {
  for (const std::string& builtins : filesIn(folder, kBuiltins)) openLibrary(builtins, error);
  for (const std::string& file : files) {
    if (void* library = openLibrary(file, error)) return library;
  }
  return nullptr;
}

struct Compiler {
  void* library = nullptr;
  std::string error;

  Compiler() {
    const char* given = std::getenv("QWEN_PT_NVRTC");
    if (given && *given) {
      library = openCompiler(fs::path(given).parent_path(), {given}, error);
      return;
    }
    for (const fs::path& folder : nvidiaFolders(folderOfTorch())) {
      library = openCompiler(folder, filesIn(folder, kCompiler), error);
      if (library) return;
    }
    library = openLibrary(kCompilerOfSystem, error);
  }
};

}  // namespace

#ifdef _WIN32
void* openLibrary(const std::string& path, std::string& error) {
  HMODULE module = LoadLibraryA(path.c_str());
  if (!module) error = path + ": error " + std::to_string(GetLastError());
  return module;
}
void* symbolOf(void* library, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), name));
}
#else
void* openLibrary(const std::string& path, std::string& error) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (!library) {
    const char* said = dlerror();
    error = said ? said : path + " cannot be opened";
  }
  return library;
}
void* symbolOf(void* library, const char* name) { return dlsym(library, name); }
#endif

void* nvrtcLibrary(std::string& error) {
  static const Compiler compiler;
  error = compiler.error;
  return compiler.library;
}

void loadAccelerators() {
  const std::string folder = folderOfTorch();
  if (folder.empty() || !fs::exists(folder + kCudaLibrary)) return;
  preferExpandableSegments();  // the options are read once
  std::string ignored;
  nvrtcLibrary(ignored);
  openLibrary(folder + kCudaLibrary, loadError);
}

const std::string& acceleratorError() { return loadError; }

}  // namespace qwen_pt
