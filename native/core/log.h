// llama.cpp's log: silent by default, handed to whoever subscribes, and kept for error messages.
#pragma once

#include <functional>
#include <string>

namespace scorehead {

using LogSink = std::function<void(const char* level, const std::string& text)>;

// Takes over llama.cpp's log callback. Called once, when the libraries are opened.
void install_log();

// Adds a subscriber; it is called on any thread. Returns the id to remove it with. While none is there, nothing but
// LogCapture sees the log.
int add_log_sink(LogSink sink);
void remove_log_sink(int id);

// Collects the warnings and errors that llama.cpp logs on this thread during its lifetime: its functions return only
// null or false, and the reason is in the log.
class LogCapture {
 public:
  LogCapture();
  ~LogCapture();
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;
  // The last lines, on one line.
  std::string text() const;

 private:
  std::string* outer_;
  std::string buffer_;
};

}  // namespace scorehead
