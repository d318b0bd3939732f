#include "store/heartbeat.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "background.h"

namespace qwen_pt {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr const char* kLeft = "left";
// A fault's first letter: S, a silence, which every rank prints as it sees it; R, a rank's report, which rank 0 prints.
constexpr char kSilent = 'S';
constexpr char kReported = 'R';

int64_t elapsed(Clock::time_point since) {
  return std::chrono::duration_cast<milliseconds>(Clock::now() - since).count();
}

std::string seconds(int64_t ms) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g s", static_cast<double>(ms) / 1000);
  return text;
}

std::string beatKey(int rank) { return "beat/" + std::to_string(rank); }

void say(const std::string& text) {
  const std::string line = "\nerror: " + text + "\n";
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) _exit(1);
}

}  // namespace

struct HeartbeatParts {
  explicit HeartbeatParts(HeartbeatSettings given) : settings(std::move(given)), store(settings.address) {}

  HeartbeatSettings settings;
  std::mutex storeMutex;  // of the two users of the connection: the beats, and JavaScript's questions
  Store store;
  int64_t intervalMs = 1000;
  std::atomic<bool> ended{false};
  std::atomic<bool> handled{false};  // JavaScript says itself why this rank ends
  std::atomic<int64_t> dyingMs{-1};  // since when this rank ends by a fault that it has told
  std::atomic<bool> stopWanted{false};
  std::atomic<bool> stopSeen{false};
  std::atomic<int64_t> lastRoundMs{0};
  Clock::time_point start = Clock::now();

  int64_t now() const { return elapsed(start); }
  int64_t lastWordsMs() const { return intervalMs + 5000; }
  void beats();
  void watch();
  void round(int64_t beat, std::string& lastSign, int64_t& lastChange);
  void obey(const std::string& fault);
  std::string seenFromHere(const std::string& text) const;
  [[noreturn]] void die(const std::string& text, bool prints);
  [[noreturn]] void dieKnowing(const std::string& text, bool prints, int living);
};

// Not exit(): destructors would wait for whoever is silent.
void HeartbeatParts::die(const std::string& text, bool prints) {
  if (prints) say(text);
  _exit(1);
}

// Of a fault that is in the store: rank 0, with which the store ends, waits until the `living` have read it too, as long
// as that may take them.
void HeartbeatParts::dieKnowing(const std::string& text, bool prints, int living) {
  handled = true;
  if (prints) say(text);
  dyingMs = now();
  try {
    auto gone = store.add("left", 1);
    while (settings.rank == 0 && gone < living && now() - dyingMs < lastWordsMs()) {
      std::this_thread::sleep_for(milliseconds(20));
      gone = store.add("left", 0);
    }
  } catch (...) {
    // the store is gone, and with it whoever could have been told
  }
  _exit(1);
}

std::string HeartbeatParts::seenFromHere(const std::string& text) const {
  const auto waiting = settings.waitingFor ? settings.waitingFor() : "";
  return "rank " + std::to_string(settings.rank) + ": " + text +
         (waiting.empty() ? "" : "; this rank was waiting for " + waiting);
}

void HeartbeatParts::obey(const std::string& fault) {
  if (handled) return;
  if (fault[0] == kReported) dieKnowing(fault.substr(1), settings.rank == 0, settings.size);
  dieKnowing(seenFromHere(fault.substr(1)), true, settings.size - 1);
}

void HeartbeatParts::round(int64_t beat, std::string& lastSign, int64_t& lastChange) {
  const std::lock_guard lock(storeMutex);
  std::string found;
  store.set(beatKey(settings.rank), ended ? kLeft : std::to_string(beat));
  if (store.get("fault", found)) obey(found);
  if (stopWanted) store.set("stop", "1");
  if (!stopSeen && store.get("stop", found)) stopSeen = true;
  const int next = (settings.rank + 1) % settings.size;
  if (store.get(beatKey(next), found) && found != lastSign) {
    lastSign = found;
    lastChange = now();
  }
  const int64_t silence = now() - lastChange;
  if (lastSign == kLeft || silence < settings.limitMs) return;
  const std::string text = "rank " + std::to_string(next) + " has given no sign of life for " + seconds(silence);
  store.set("fault", kSilent + text);
  store.get("fault", found);  // an answer: the request has arrived
  if (!handled) dieKnowing(seenFromHere(text), true, settings.size - 1);
}

void HeartbeatParts::beats() {
  std::string lastSign;
  int64_t lastChange = now();
  for (int64_t beat = 1; !ended; ++beat) {
    const int64_t before = now();
    try {
      round(beat, lastSign, lastChange);
      lastRoundMs = now();
    } catch (...) {
      if (!ended && !handled) die(seenFromHere("the process that keeps the store (rank 0, or torchrun) is gone"), true);
      return;
    }
    // a process that was stopped itself must not take its own pause for another's
    if (now() - before > settings.limitMs / 2) lastChange = now();
    const int64_t next = before + intervalMs;
    while (!ended && now() < next) std::this_thread::sleep_for(milliseconds(std::min<int64_t>(20, intervalMs)));
    if (now() > next + settings.limitMs / 2) lastChange = now();
  }
}

// A store whose keeper is stopped answers nothing, and the other thread hangs in its request.
void HeartbeatParts::watch() {
  int64_t before = now();
  while (!ended) {
    std::this_thread::sleep_for(milliseconds(std::min<int64_t>(100, intervalMs)));
    if (now() - before > settings.limitMs / 2) lastRoundMs = now();
    before = now();
    if (dyingMs >= 0 && now() - dyingMs > 2 * lastWordsMs()) _exit(1);
    const int64_t silence = now() - lastRoundMs;
    if (silence < settings.limitMs || ended || handled) continue;
    die(seenFromHere("the process that keeps the store (rank 0, or torchrun) has not answered for " + seconds(silence)),
        true);
  }
}

Heartbeat::Heartbeat(HeartbeatSettings settings) : parts_(std::make_shared<HeartbeatParts>(std::move(settings))) {
  // a request a rank and interval: the store of a thousand ranks must not be busy with that
  const int64_t bySize = 1000 + parts_->settings.size * 4;
  parts_->intervalMs = std::clamp<int64_t>(std::min(bySize, parts_->settings.limitMs / 6), 10, 10'000);
  std::thread([parts = parts_] { parts->beats(); }).detach();
  std::thread([parts = parts_] { parts->watch(); }).detach();
}

Heartbeat::~Heartbeat() { parts_->ended = true; }

std::string Heartbeat::silentRanks() {
  auto& parts = *parts_;
  parts.handled = true;
  const auto read = [&] {
    std::vector<std::string> signs(static_cast<size_t>(parts.settings.size));
    const std::lock_guard lock(parts.storeMutex);
    for (int rank = 0; rank < parts.settings.size; ++rank) parts.store.get(beatKey(rank), signs[rank]);
    return signs;
  };
  std::string fault;
  try {
    const auto before = read();
    std::this_thread::sleep_for(milliseconds(3 * parts.intervalMs));
    const auto after = read();
    {
      const std::lock_guard lock(parts.storeMutex);
      if (parts.store.get("fault", fault)) return fault;
    }
    std::string names;
    int count = 0;
    for (int rank = 0; rank < parts.settings.size; ++rank) {
      if (before[rank] != after[rank] || rank == parts.settings.rank) continue;
      names += (count++ > 0 ? ", " : "") + std::to_string(rank);
    }
    if (count == 0) return "";
    const auto text = (count == 1 ? "rank " : "ranks ") + names + (count == 1 ? " is" : " are") + " gone";
    const std::lock_guard lock(parts.storeMutex);
    parts.store.set("fault", kSilent + text);
    parts.store.get("fault", fault);
    return kSilent + text;
  } catch (...) {
    return std::string(1, kSilent) + "the process that keeps the store (rank 0, or torchrun) is gone";
  }
}

void Heartbeat::report(const std::string& reason) {
  auto& parts = *parts_;
  parts.handled = true;
  std::string found;
  const std::lock_guard lock(parts.storeMutex);
  if (parts.store.get("fault", found)) return;
  parts.store.set("fault", kReported + reason);
  parts.store.get("fault", found);
}

bool Heartbeat::stopAsked() const { return parts_->stopSeen; }

void Heartbeat::askToStop() { parts_->stopWanted = true; }

void Heartbeat::leave(int64_t waitMs) {
  auto& parts = *parts_;
  parts.handled = true;
  try {
    {
      const std::lock_guard lock(parts.storeMutex);
      parts.ended = true;
      parts.store.set(beatKey(parts.settings.rank), kLeft);
      parts.store.add("left", 1);
    }
    const auto start = Clock::now();
    while (waitMs > 0 && elapsed(start) < waitMs) {
      {
        const std::lock_guard lock(parts.storeMutex);
        if (parts.store.add("left", 0) >= parts.settings.size) break;
      }
      std::this_thread::sleep_for(milliseconds(20));
    }
  } catch (...) {
    // the store is gone: nobody is left to be told
  }
}

}  // namespace qwen_pt
