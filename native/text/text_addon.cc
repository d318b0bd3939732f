// The entry of qwen_pt_text.node, which tokenizes and has nothing of libtorch: it loads in a moment, wherever there is
// text. Batches are encoded on libuv's threads, each with a Lane that no other uses meanwhile.
#include <napi.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "files/json_scanner.h"
#include "json_row.h"
#include "text_encoder.h"

namespace {

using qwen_pt::Encoder;
using qwen_pt::Lane;

// An encoder with the lanes that no batch uses now.
struct Shared {
  std::shared_ptr<const Encoder> encoder;
  std::mutex mutex;
  std::vector<std::unique_ptr<Lane>> idle;

  std::unique_ptr<Lane> take() {
    const std::lock_guard lock(mutex);
    if (idle.empty()) return std::make_unique<Lane>(encoder);
    auto lane = std::move(idle.back());
    idle.pop_back();
    return lane;
  }
  void giveBack(std::unique_ptr<Lane> lane) {
    lane->clear();
    const std::lock_guard lock(mutex);
    idle.push_back(std::move(lane));
  }
};

using Handle = std::shared_ptr<Shared>;

// Numbers that JavaScript takes over as they lie.
struct Numbers {
  int32_t* data = nullptr;
  size_t count = 0;
  Numbers() = default;
  Numbers(const void* source, size_t length) : data(static_cast<int32_t*>(std::malloc(4 * length + 4))), count(length) {
    if (data == nullptr) throw std::bad_alloc();
    if (length > 0) std::memcpy(data, source, 4 * length);
  }
  Numbers(Numbers&& other) noexcept : data(std::exchange(other.data, nullptr)), count(other.count) {}
  Numbers& operator=(Numbers&& other) noexcept {
    std::swap(data, other.data);
    std::swap(count, other.count);
    return *this;
  }
  ~Numbers() { std::free(data); }

  Napi::Int32Array give(Napi::Env env) {
    int32_t* given = std::exchange(data, nullptr);
    const auto buffer =
        Napi::ArrayBuffer::New(env, given, 4 * count, [](Napi::Env, void* memory) { std::free(memory); });
    return Napi::Int32Array::New(env, count, buffer, 0);
  }
};

// A batch on its way: what is common to texts and to rows.
class Batch : public Napi::AsyncWorker {
 public:
  Batch(Napi::Env env, Handle shared)
      : Napi::AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)), shared_(std::move(shared)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  virtual void encodeAll(Lane& lane) = 0;
  virtual void describe(Napi::Object& result) {}

  void Execute() override {
    auto lane = shared_->take();
    encodeAll(*lane);
    ids_ = Numbers(lane->ids(), lane->count());
    numbers_ = Numbers(lengths_.data(), lengths_.size());
    shared_->giveBack(std::move(lane));
  }

  // Whether the text was encoded; its length is noted, -1 where it is left.
  bool encodeOne(Lane& lane, const char* text, size_t length) {
    const size_t before = lane.count();
    const bool done = lane.encode(text, length);
    lengths_.push_back(done ? static_cast<int32_t>(lane.count() - before) : -1);
    return done;
  }

  void OnOK() override {
    auto result = Napi::Object::New(Env());
    result.Set("ids", ids_.give(Env()));
    result.Set("lengths", numbers_.give(Env()));
    describe(result);
    deferred_.Resolve(result);
  }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

  std::vector<int32_t> lengths_;

 private:
  Napi::Promise::Deferred deferred_;
  Handle shared_;
  Numbers ids_, numbers_;
};

class TextBatch : public Batch {
 public:
  TextBatch(Napi::Env env, Handle shared, const Napi::Array& texts) : Batch(env, std::move(shared)) {
    for (uint32_t i = 0; i < texts.Length(); ++i) {
      const napi_value text = texts.Get(i);
      size_t length = 0;
      if (napi_get_value_string_utf8(env, text, nullptr, 0, &length) != napi_ok)
        throw Napi::TypeError::New(env, "texts must be strings");
      const size_t at = bytes_.size();
      bytes_.resize(at + length + Encoder::kPadding);
      napi_get_value_string_utf8(env, text, bytes_.data() + at, length + 1, &length);
      spans_.emplace_back(at, length);
    }
  }

 private:
  void encodeAll(Lane& lane) override {
    for (const auto& [at, length] : spans_) encodeOne(lane, bytes_.data() + at, length);
  }

  std::string bytes_;
  std::vector<std::pair<size_t, size_t>> spans_;
};

class RowBatch : public Batch {
 public:
  RowBatch(Napi::Env env, Handle shared, const Napi::Uint8Array& rows, qwen_pt::RowRule rule)
      : Batch(env, std::move(shared)),
        held_(Napi::Persistent(rows)),
        rows_(reinterpret_cast<const char*>(rows.Data()), rows.ByteLength()),
        rule_(std::move(rule)) {}

 private:
  void encodeAll(Lane& lane) override {
    qwen_pt::RowReader reader(rule_, Encoder::kPadding);
    std::vector<int32_t> left;
    for (size_t at = 0; at < rows_.size(); ++lines_) {
      const size_t stop = std::min(rows_.find('\n', at), rows_.size());
      const auto row = rows_.substr(at, stop - at);
      if (row.find_first_not_of(" \t\r") != std::string_view::npos) {
        const bool isRead = reader.read(row);
        if (!isRead) lengths_.push_back(-1);
        if (!isRead || !encodeOne(lane, reader.text(), reader.length()))
          for (const size_t number : {at, stop, lines_}) left.push_back(static_cast<int32_t>(number));
      }
      at = stop + 1;
    }
    left_ = Numbers(left.data(), left.size());
  }

  void describe(Napi::Object& result) override {
    result.Set("left", left_.give(Env()));
    result.Set("lines", Napi::Number::New(Env(), static_cast<double>(lines_)));
  }

  Napi::Reference<Napi::Uint8Array> held_;
  std::string_view rows_;
  qwen_pt::RowRule rule_;
  Numbers left_;  // of each row that is left: where it begins and ends, and its line, from 0
  size_t lines_ = 0;
};

Handle handleOf(const Napi::CallbackInfo& info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "an encoder is expected");
  return *info[0].As<Napi::External<Handle>>().Data();
}

// makeEncoder(json: Uint8Array, added: [content, id, plain][]): an encoder, or undefined where the vocabulary is of
// another form. Throws where the JSON is malformed.
Napi::Value makeEncoder(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto json = info[0].As<Napi::Uint8Array>();
  std::vector<qwen_pt::AddedToken> added;
  const auto list = info[1].As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const auto token = list.Get(i).As<Napi::Array>();
    added.push_back({token.Get(0u).As<Napi::String>().Utf8Value(), token.Get(1u).As<Napi::Number>().Uint32Value(),
                     token.Get(2u).As<Napi::Boolean>().Value()});
  }
  std::unique_ptr<qwen_pt::BytePairs> pairs;
  try {
    pairs = qwen_pt::BytePairs::fromJson({reinterpret_cast<const char*>(json.Data()), json.ByteLength()});
  } catch (const qwen_pt::JsonError& error) {
    throw Napi::Error::New(env, error.what());
  }
  if (pairs == nullptr) return env.Undefined();
  auto shared = std::make_shared<Shared>();
  shared->encoder = std::make_shared<const Encoder>(std::move(pairs), std::move(added));
  return Napi::External<Handle>::New(env, new Handle(std::move(shared)), [](Napi::Env, Handle* held) { delete held; });
}

// encodeTexts(encoder, texts: string[]): a promise of {ids, lengths}; the length of a text that is left is -1.
Napi::Value encodeTexts(const Napi::CallbackInfo& info) {
  auto* batch = new TextBatch(info.Env(), handleOf(info), info[1].As<Napi::Array>());
  batch->Queue();  // it frees itself when it is done
  return batch->promise();
}

// encodeRows(encoder, rows: Uint8Array, {columns, tag, separator}): the same for the texts of JSON lines, well-formed
// UTF-8; and left, the place (from, to, line) of each row that is left, and lines, how many there are.
Napi::Value encodeRows(const Napi::CallbackInfo& info) {
  const auto given = info[2].As<Napi::Object>();
  qwen_pt::RowRule rule;
  const auto columns = given.Get("columns").As<Napi::Array>();
  for (uint32_t i = 0; i < columns.Length(); ++i) rule.columns.push_back(columns.Get(i).As<Napi::String>().Utf8Value());
  rule.tag = given.Get("tag").As<Napi::String>().Utf8Value();
  rule.separator = given.Get("separator").As<Napi::String>().Utf8Value();
  auto* batch = new RowBatch(info.Env(), handleOf(info), info[1].As<Napi::Uint8Array>(), std::move(rule));
  batch->Queue();
  return batch->promise();
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("makeEncoder", Napi::Function::New(env, makeEncoder));
  exports.Set("encodeTexts", Napi::Function::New(env, encodeTexts));
  exports.Set("encodeRows", Napi::Function::New(env, encodeRows));
  return exports;
}

}  // namespace

NODE_API_MODULE(qwen_pt_text, initialize)
