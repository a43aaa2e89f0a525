#include "log.h"

#include <map>
#include <mutex>

#include "llama_api.h"

namespace scorehead {
namespace {

// Leaked on purpose: llama.cpp's threads may still log while the process's static objects are being destroyed.
struct Sinks {
  std::mutex mutex;
  std::map<int, LogSink> by_id;
  int next_id = 1;
};
Sinks& sinks() {
  static Sinks* instance = new Sinks;
  return *instance;
}

thread_local std::string* capture = nullptr;
thread_local enum ggml_log_level last_level = GGML_LOG_LEVEL_NONE;

const char* level_name(enum ggml_log_level level) {
  switch (level) {
    case GGML_LOG_LEVEL_DEBUG: return "debug";
    case GGML_LOG_LEVEL_WARN: return "warn";
    case GGML_LOG_LEVEL_ERROR: return "error";
    default: return "info";
  }
}

void on_log(enum ggml_log_level level, const char* text, void*) {
  // A continuation has its line's level.
  if (level != GGML_LOG_LEVEL_CONT) last_level = level;
  if (capture && (last_level == GGML_LOG_LEVEL_WARN || last_level == GGML_LOG_LEVEL_ERROR)) *capture += text;
  Sinks& all = sinks();
  std::lock_guard<std::mutex> lock(all.mutex);
  for (const auto& entry : all.by_id) entry.second(level_name(last_level), text);
}

}  // namespace

void install_log() { llama().llama_log_set(on_log, nullptr); }

int add_log_sink(LogSink sink) {
  Sinks& all = sinks();
  std::lock_guard<std::mutex> lock(all.mutex);
  all.by_id[all.next_id] = std::move(sink);
  return all.next_id++;
}

void remove_log_sink(int id) {
  Sinks& all = sinks();
  std::lock_guard<std::mutex> lock(all.mutex);
  all.by_id.erase(id);
}

LogCapture::LogCapture() : outer_(capture) { capture = &buffer_; }
LogCapture::~LogCapture() { capture = outer_; }

std::string LogCapture::text() const {
  constexpr size_t kMost = 600;  // an error message, not a log
  std::string line = buffer_.size() > kMost ? "…" + buffer_.substr(buffer_.size() - kMost) : buffer_;
  for (char& c : line)
    if (c == '\n') c = ' ';
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

}  // namespace scorehead
