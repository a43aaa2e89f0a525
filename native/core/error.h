// The error that crosses from the core to the binding: a code of lib/errors.ts, the reason and the remedy.
#pragma once

#include <stdexcept>
#include <string>

namespace scorehead {

class Error : public std::runtime_error {
 public:
  Error(const char* code, const std::string& message) : std::runtime_error(message), code_(code) {}
  const char* code() const noexcept { return code_; }

 private:
  const char* code_;  // a string literal, so it outlives the error
};

}  // namespace scorehead
