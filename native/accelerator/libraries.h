// The libraries of an accelerator, which nothing links to: opened by name beside libtorch, so that one addon serves
// machines with and without them.
#pragma once

#include <string>
#include <vector>

namespace qwen_pt {

/// Opens the CUDA half of libtorch, where it is beside the other: it registers itself. Before it, NVRTC, which it asks for
/// only when something is compiled.
void loadAccelerators();

/// Why libtorch's CUDA half did not load, in the loader's words; empty where it loaded or is not there.
const std::string& acceleratorError();

/// NVRTC's library as it was opened, or null with the loader's words in `error`. `QWEN_PT_NVRTC` names a file.
void* nvrtcLibrary(std::string& error);

/// A file of the system's loader, opened; null with its words in `error`.
void* openLibrary(const std::string& path, std::string& error);

/// A function of an opened library, or null.
void* symbolOf(void* library, const char* name);

}  // namespace qwen_pt
