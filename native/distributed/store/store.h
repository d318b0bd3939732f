// The store that every process of a run can reach: c10d's TCPStore, kept by one of them (or by torchrun's agent).
// Values are text. No function waits for longer than a request takes: whoever waits for a key asks again and again.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace qwen_pt {

struct StoreAddress {
  std::string host;
  uint16_t port = 0;  // 0: a free one, where `serves`
  bool serves = false;
  int64_t timeoutMs = 0;  // to connect
  std::string prefix;     // put before every key
};

struct StoreParts;  // store_parts.h

class Store {
 public:
  // Connects, and listens before that where the address says so. Throws where nobody answers in time.
  explicit Store(StoreAddress address);
  ~Store();

  void set(const std::string& key, const std::string& value);
  // The value, or false where the key has none yet.
  bool get(const std::string& key, std::string& value);
  int64_t add(const std::string& key, int64_t amount);

  // The address with the port that is in use, as another connection to the same store needs it.
  StoreAddress clientAddress() const;
  StoreParts& parts() { return *parts_; }

 private:
  StoreAddress address_;
  std::unique_ptr<StoreParts> parts_;
};

}  // namespace qwen_pt
