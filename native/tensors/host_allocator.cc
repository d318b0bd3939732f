// A pool for large host buffers. A training step asks for the same few sizes thousands of times; handing each back to
// the system costs a page fault for every 4 kB the next time. Freed buffers are kept and given out again. Live and kept
// bytes together never exceed the most that was ever live (or a small floor), so that the pool does not make a process
// larger. Small buffers go to libtorch's allocator.
#include "host_allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/alignment.h>
#include <c10/core/impl/alloc_cpu.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <list>
#include <map>
#include <mutex>
#include <unordered_map>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace qwen_pt {

namespace {

constexpr size_t kSmallest = 256 << 10;  // below it malloc does well
constexpr size_t kMapped = 2 << 20;      // from here on each buffer is its own mapping
constexpr size_t kFloor = size_t{256} << 20;

size_t rounded(size_t bytes) {
  const size_t grain = bytes >= kMapped ? kMapped / 4 : kSmallest / 4;
  return (bytes + grain - 1) / grain * grain;
}

// Large buffers are mapped one by one, so that giving one up really gives it up: inside a thread's malloc arena it would
// stay behind whatever was allocated after it. Each begins at another offset into its first pages: operands that agree
// in their low address bits fall into the same cache sets. No huge pages: filling one the first time costs more here
// than its reuse saves.
constexpr size_t kPage = 4096;
constexpr size_t kColour = kPage + 64;
constexpr size_t kColours = 31;
constexpr size_t kColourSpan = (kColours * kColour + kPage - 1) / kPage * kPage;
constexpr size_t kSpanAlignment = 2 << 20;  // a mapping's first byte is found again by rounding down to it

void* mapBuffer(size_t bytes) {
#ifdef __linux__
  if (bytes >= kMapped) {
    static std::atomic<size_t> next{0};
    const size_t length = bytes + kColourSpan;
    const size_t padded = length + kSpanAlignment;
    void* base = mmap(nullptr, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TORCH_CHECK_WITH(OutOfMemoryError, base != MAP_FAILED, "cannot allocate ", bytes, " bytes of memory");
    const auto start = reinterpret_cast<uintptr_t>(base);
    const uintptr_t first = (start + kSpanAlignment - 1) / kSpanAlignment * kSpanAlignment;
    const uintptr_t end = first + length;
    if (first > start) munmap(base, first - start);
    if (start + padded > end) munmap(reinterpret_cast<void*>(end), start + padded - end);
    return reinterpret_cast<void*>(first + next++ % kColours * kColour);
  }
#endif
  return c10::alloc_cpu(bytes);
}

void unmapBuffer(void* data, size_t bytes) {
#ifdef __linux__
  if (bytes >= kMapped) {
    const uintptr_t first = reinterpret_cast<uintptr_t>(data) / kSpanAlignment * kSpanAlignment;
    munmap(reinterpret_cast<void*>(first), bytes + kColourSpan);
    return;
  }
#endif
  c10::free_cpu(data);
}

class Pool {
 public:
  void* take(size_t bytes) {
    const size_t size = rounded(bytes);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      // a buffer up to an eighth larger will do
      auto found = kept_.lower_bound(size);
      if (found != kept_.end() && found->first <= size + size / 8) {
        void* data = found->second->data;
        const size_t actual = found->first;
        order_.erase(found->second);
        kept_.erase(found);
        keptBytes_ -= actual;
        return note(data, actual);
      }
      makeRoom(size);
    }
    void* data = mapBuffer(size);
    std::lock_guard<std::mutex> lock(mutex_);
    return note(data, size);
  }

  // false where the buffer is not one of the pool's
  bool give(void* data) {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = live_.find(data);
    if (found == live_.end()) return false;
    const size_t size = found->second;
    live_.erase(found);
    liveBytes_ -= size;
    order_.push_back({data, size, {}});
    auto entry = std::prev(order_.end());
    entry->place = kept_.emplace(size, entry);
    keptBytes_ += size;
    makeRoom(0);
    return true;
  }

 private:
  struct Kept;
  using Order = std::list<Kept>;
  using Sizes = std::multimap<size_t, Order::iterator>;
  struct Kept {
    void* data;
    size_t size;
    Sizes::iterator place;
  };

  void* note(void* data, size_t size) {
    live_.emplace(data, size);
    liveBytes_ += size;
    peakLive_ = std::max(peakLive_, liveBytes_);
    return data;
  }

  // Frees the longest unused buffers until `coming` more bytes stay within the bound.
  void makeRoom(size_t coming) {
    const size_t bound = std::max(peakLive_, kFloor);
    while (!order_.empty() && liveBytes_ + keptBytes_ + coming > bound) {
      const Kept oldest = order_.front();
      kept_.erase(oldest.place);
      order_.pop_front();
      keptBytes_ -= oldest.size;
      unmapBuffer(oldest.data, oldest.size);
    }
  }

  std::mutex mutex_;
  std::unordered_map<void*, size_t> live_;
  Order order_;  // kept buffers, the longest unused first
  Sizes kept_;
  size_t liveBytes_ = 0;
  size_t keptBytes_ = 0;
  size_t peakLive_ = 0;
};

// Never destroyed: buffers outlive every destructor of this library.
Pool& pool() {
  static Pool* instance = new Pool;
  return *instance;
}

void release(void* data) {
  if (data && !pool().give(data)) c10::free_cpu(data);
}

struct HostAllocator final : c10::Allocator {
  explicit HostAllocator(c10::Allocator* small) : small_(small) {}

  at::DataPtr allocate(size_t bytes) override {
    if (bytes < kSmallest) return small_->allocate(bytes);
    void* data = pool().take(bytes);
    return {data, data, release, at::Device(at::kCPU)};
  }
  at::DeleterFnPtr raw_deleter() const override { return release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

 private:
  c10::Allocator* small_;
};

}  // namespace

void installHostAllocator() {
  const char* wish = std::getenv("QWEN_PT_HOST_POOL");
  if (wish && std::strcmp(wish, "0") == 0) return;
  c10::SetCPUAllocator(new HostAllocator(c10::GetDefaultCPUAllocator()), /*priority=*/200);
}

}  // namespace qwen_pt
