// Checked arguments: nothing reaches the core unless it has the type that lib/runtime/contract.ts says. A mistake
// here is a bug of lib/runtime, so the code is ERR_INTERNAL; users' arguments are checked in TypeScript.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "environment.h"

namespace scorehead {

// The property `name` of `object`, by type. Throws a JavaScript ERR_INTERNAL that names it.
std::string get_string(const Napi::Object& object, const char* name);
bool get_bool(const Napi::Object& object, const char* name);
int32_t get_int(const Napi::Object& object, const char* name);
int32_t get_size(const Napi::Object& object, const char* name);  // at least 1
std::vector<std::string> get_strings(const Napi::Object& object, const char* name);
Napi::Object get_object(const Napi::Object& object, const char* name);
std::vector<Napi::Object> get_objects(const Napi::Object& object, const char* name);
std::vector<float> get_floats(const Napi::Object& object, const char* name);
std::vector<int32_t> get_ints(const Napi::Object& object, const char* name);
std::vector<uint8_t> get_bytes(const Napi::Object& object, const char* name);

// The argument at `index`, by type.
Napi::Object object_at(const Napi::CallbackInfo& info, size_t index);
std::string string_at(const Napi::CallbackInfo& info, size_t index);
int32_t int_at(const Napi::CallbackInfo& info, size_t index);

}  // namespace scorehead
