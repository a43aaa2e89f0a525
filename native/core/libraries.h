// Opening the llama.cpp libraries, once for the process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llama_api.h"

namespace scorehead {

// The shared libraries of one llama.cpp build, by absolute path. Each is searched for each function, because
// GetProcAddress, unlike dlsym, does not look into a library's dependencies.
struct LibraryPaths {
  std::string base;
  std::string ggml;
  std::string llama;
};

struct Device {
  std::string name;
  std::string description;
  std::string backend;
  std::string kind;  // cpu | gpu | igpu | accel
  uint64_t free_bytes;
  uint64_t total_bytes;
};

// Opens the libraries and loads the CPU backend that fits this processor. A second call with the same paths does
// nothing; one with other paths throws ERR_RUNTIME_CONFLICT, as does a copy of llama.cpp that something else in this
// process has already mapped from another path: both would share symbols by SONAME and fail without a word.
// `expected_version` is the release the addon's headers come from: structs cross by value, so another one throws
// ERR_RUNTIME_VERSION. Returns the version that the libraries report.
std::string open_libraries(const LibraryPaths& paths, const std::string& backend_directory,
                           const std::string& expected_version);

// Loads one more backend (CUDA, Vulkan) by absolute path. Returns the number of devices it brought; 0 with the reason
// in `reason` where it cannot be loaded, e.g. because the driver is missing.
size_t load_backend(const std::string& path, std::string& reason);

std::vector<Device> devices();

// The features that the loaded CPU backend was built with and found on this processor, such as "AVX512".
std::vector<std::string> cpu_features();

}  // namespace scorehead
