#include "store.h"

#include <utility>

#include "store_parts.h"

namespace qwen_pt {

Store::Store(StoreAddress address) : address_(std::move(address)), parts_(std::make_unique<StoreParts>()) {
  c10d::TCPStoreOptions options;
  options.port = address_.port;
  options.isServer = address_.serves;
  options.waitWorkers = false;  // who comes is counted by keys, so that those who are missing can be named
  options.timeout = std::chrono::milliseconds(address_.timeoutMs);
  // Node and libtorch both export libuv's functions, in two versions: the loader gives libtorch's server Node's, whose
  // structures may have other sizes. The server without libuv speaks the same protocol.
  options.useLibUV = false;
  parts_->store = c10::make_intrusive<c10d::TCPStore>(address_.host, options);
  address_.port = parts_->store->getPort();
}

Store::~Store() = default;

void Store::set(const std::string& key, const std::string& value) {
  parts_->store->set(address_.prefix + key, std::vector<uint8_t>(value.begin(), value.end()));
}

bool Store::get(const std::string& key, std::string& value) {
  if (!parts_->store->check({address_.prefix + key})) return false;
  const auto bytes = parts_->store->get(address_.prefix + key);
  value.assign(bytes.begin(), bytes.end());
  return true;
}

int64_t Store::add(const std::string& key, int64_t amount) { return parts_->store->add(address_.prefix + key, amount); }

StoreAddress Store::clientAddress() const {
  StoreAddress client = address_;
  client.serves = false;
  return client;
}

}  // namespace qwen_pt
