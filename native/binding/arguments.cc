#include "arguments.h"

namespace scorehead {
namespace {

[[noreturn]] void refuse(Napi::Env env, const std::string& what, const char* type) {
  throw coded_error(env, "ERR_INTERNAL", what + " has to be " + type + ".");
}

template <typename Array>
Array typed_array(const Napi::Object& object, const char* name, napi_typedarray_type type, const char* type_name) {
  Napi::Value value = object.Get(name);
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) refuse(object.Env(), name, type_name);
  return value.As<Array>();
}

}  // namespace

std::string get_string(const Napi::Object& object, const char* name) {
  Napi::Value value = object.Get(name);
  if (!value.IsString()) refuse(object.Env(), name, "a string");
  return value.As<Napi::String>().Utf8Value();
}

bool get_bool(const Napi::Object& object, const char* name) {
  Napi::Value value = object.Get(name);
  if (!value.IsBoolean()) refuse(object.Env(), name, "a boolean");
  return value.As<Napi::Boolean>().Value();
}

int32_t get_int(const Napi::Object& object, const char* name) {
  Napi::Value value = object.Get(name);
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0.5;
  // The range first: converting a double that the type cannot hold is undefined. NaN fails it too.
  if (!(number >= INT32_MIN && number <= INT32_MAX) || number != static_cast<double>(static_cast<int32_t>(number)))
    refuse(object.Env(), name, "a 32-bit integer");
  return static_cast<int32_t>(number);
}

int32_t get_size(const Napi::Object& object, const char* name) {
  const int32_t number = get_int(object, name);
  if (number < 1) refuse(object.Env(), name, "at least 1");
  return number;
}

std::vector<std::string> get_strings(const Napi::Object& object, const char* name) {
  Napi::Value value = object.Get(name);
  if (!value.IsArray()) refuse(object.Env(), name, "an array of strings");
  const auto array = value.As<Napi::Array>();
  std::vector<std::string> out;
  for (uint32_t i = 0; i < array.Length(); i++) {
    Napi::Value element = array.Get(i);
    if (!element.IsString()) refuse(object.Env(), name, "an array of strings");
    out.push_back(element.As<Napi::String>().Utf8Value());
  }
  return out;
}

Napi::Object get_object(const Napi::Object& object, const char* name) {
  Napi::Value value = object.Get(name);
  if (!value.IsObject()) refuse(object.Env(), name, "an object");
  return value.As<Napi::Object>();
}

std::vector<Napi::Object> get_objects(const Napi::Object& object, const char* name) {
  Napi::Value value = object.Get(name);
  if (!value.IsArray()) refuse(object.Env(), name, "an array of objects");
  const auto array = value.As<Napi::Array>();
  std::vector<Napi::Object> out;
  for (uint32_t i = 0; i < array.Length(); i++) {
    Napi::Value element = array.Get(i);
    if (!element.IsObject()) refuse(object.Env(), name, "an array of objects");
    out.push_back(element.As<Napi::Object>());
  }
  return out;
}

std::vector<float> get_floats(const Napi::Object& object, const char* name) {
  const auto array = typed_array<Napi::Float32Array>(object, name, napi_float32_array, "a Float32Array");
  return {array.Data(), array.Data() + array.ElementLength()};
}

std::vector<int32_t> get_ints(const Napi::Object& object, const char* name) {
  const auto array = typed_array<Napi::Int32Array>(object, name, napi_int32_array, "an Int32Array");
  return {array.Data(), array.Data() + array.ElementLength()};
}

std::vector<uint8_t> get_bytes(const Napi::Object& object, const char* name) {
  const auto array = typed_array<Napi::Uint8Array>(object, name, napi_uint8_array, "a Uint8Array");
  return {array.Data(), array.Data() + array.ElementLength()};
}

Napi::Object object_at(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsObject()) refuse(info.Env(), "Argument " + std::to_string(index + 1), "an object");
  return info[index].As<Napi::Object>();
}

std::string string_at(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsString()) refuse(info.Env(), "Argument " + std::to_string(index + 1), "a string");
  return info[index].As<Napi::String>().Utf8Value();
}

int32_t int_at(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsNumber()) refuse(info.Env(), "Argument " + std::to_string(index + 1), "a number");
  return info[index].As<Napi::Number>().Int32Value();
}

}  // namespace scorehead
