#include "libraries.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

#include "dynamic_library.h"
#include "error.h"
#include "log.h"

namespace scorehead {
namespace {

std::mutex mutex;
LlamaApi table;
bool opened = false;
LibraryPaths opened_paths;
std::string opened_version;
std::map<std::string, size_t> loaded_backends;

void refuse_foreign_copy(const LibraryPaths& paths) {
  for (const std::string& wanted : {paths.base, paths.llama}) {
    const std::string mapped = mapped_elsewhere(wanted);
    if (mapped.empty()) continue;
    throw Error("ERR_RUNTIME_CONFLICT",
                "Another copy of llama.cpp is already loaded in this process: " + mapped + " (scorehead wants " + wanted +
                    "). Two copies break each other silently. Load scorehead in a process or worker of its own, or let "
                    "both use one copy by setting SCOREHEAD_RUNTIME to that folder.");
  }
}

void fill_table(const std::vector<LibraryHandle>& handles) {
#define SCOREHEAD_LOOK_UP(name)                                                                        \
  table.name = nullptr;                                                                                \
  for (LibraryHandle handle : handles)                                                                 \
    if (!table.name) table.name = reinterpret_cast<decltype(&::name)>(find_symbol(handle, #name));     \
  if (!table.name)                                                                                     \
    throw Error("ERR_RUNTIME_VERSION", "The llama.cpp libraries lack the function " #name              \
                                       ", so they are of another release than this addon was built for. " \
                                       "Install the @node-llama-cpp package of the version that scorehead names.");
  SCOREHEAD_LLAMA_FUNCTIONS(SCOREHEAD_LOOK_UP)
#undef SCOREHEAD_LOOK_UP
}

// llama.cpp v0.5.0's Vulkan backend crashes on some batches where it reorders the graph (seen inside Mesa's software
// driver, without scorehead's graph callback as well); the reordering gains a few percent. A user's own setting wins.
void keep_vulkan_graphs_in_order() {
  constexpr char kName[] = "GGML_VK_DISABLE_GRAPH_OPTIMIZE";
#ifdef _WIN32
  if (!std::getenv(kName)) _putenv_s(kName, "1");
#else
  setenv(kName, "1", 0);
#endif
}

// "0.5.0-dev" and "0.5.0" are the same release.
std::string release_of(const std::string& version) { return version.substr(0, version.find('-')); }

const char* kind_name(enum ggml_backend_dev_type type) {
  switch (type) {
    case GGML_BACKEND_DEVICE_TYPE_CPU: return "cpu";
    case GGML_BACKEND_DEVICE_TYPE_GPU: return "gpu";
    case GGML_BACKEND_DEVICE_TYPE_IGPU: return "igpu";
    default: return "accel";
  }
}

}  // namespace

const LlamaApi& llama() {
  if (!opened) throw Error("ERR_RUNTIME", "The llama.cpp libraries have not been opened.");
  return table;
}

std::string open_libraries(const LibraryPaths& paths, const std::string& backend_directory,
                           const std::string& expected_version) {
  std::lock_guard<std::mutex> lock(mutex);
  if (opened) {
    if (paths.llama == opened_paths.llama) return opened_version;
    throw Error("ERR_RUNTIME_CONFLICT", "This process already uses " + opened_paths.llama + " and cannot also open " +
                                            paths.llama + ". Use one runtime a process.");
  }
  refuse_foreign_copy(paths);
  // In dependency order, so that each finds the ones before it already loaded.
  const std::vector<LibraryHandle> handles = {open_library(paths.base), open_library(paths.ggml),
                                              open_library(paths.llama)};
  fill_table(handles);
  const std::string version = table.llama_version();
  if (release_of(version) != release_of(expected_version))
    throw Error("ERR_RUNTIME_VERSION", "The llama.cpp libraries at " + paths.llama + " are version " + version +
                                           ", and this addon was built for " + expected_version +
                                           ". Install the @node-llama-cpp package of the version that scorehead names, "
                                           "or build the runtime again with `scorehead build-runtime`.");
  keep_vulkan_graphs_in_order();
  opened = true;
  opened_paths = paths;
  opened_version = version;
  install_log();
  table.llama_backend_init();
  table.ggml_backend_load_all_from_path(backend_directory.c_str());
  return version;
}

size_t load_backend(const std::string& path, std::string& reason) {
  std::lock_guard<std::mutex> lock(mutex);
  const auto known = loaded_backends.find(path);
  if (known != loaded_backends.end()) return known->second;
  const LogCapture log;
  ggml_backend_reg_t backend = llama().ggml_backend_load(path.c_str());
  if (!backend) {
    reason = log.text().empty() ? "it cannot be loaded" : log.text();
    return 0;
  }
  const size_t count = table.ggml_backend_reg_dev_count(backend);
  if (count == 0) reason = "it loads, but finds no device";
  loaded_backends[path] = count;
  return count;
}

std::vector<Device> devices() {
  const LlamaApi& api = llama();
  std::vector<Device> found;
  for (size_t i = 0; i < api.ggml_backend_dev_count(); i++) {
    ggml_backend_dev_t device = api.ggml_backend_dev_get(i);
    size_t free_bytes = 0, total_bytes = 0;
    api.ggml_backend_dev_memory(device, &free_bytes, &total_bytes);
    found.push_back({api.ggml_backend_dev_name(device), api.ggml_backend_dev_description(device),
                     api.ggml_backend_reg_name(api.ggml_backend_dev_backend_reg(device)),
                     kind_name(api.ggml_backend_dev_type(device)), free_bytes, total_bytes});
  }
  return found;
}

std::vector<std::string> cpu_features() {
  const LlamaApi& api = llama();
  std::vector<std::string> names;
  for (size_t i = 0; i < api.ggml_backend_dev_count(); i++) {
    ggml_backend_dev_t device = api.ggml_backend_dev_get(i);
    if (api.ggml_backend_dev_type(device) != GGML_BACKEND_DEVICE_TYPE_CPU) continue;
    auto get_features = reinterpret_cast<ggml_backend_get_features_t>(api.ggml_backend_reg_get_proc_address(
        api.ggml_backend_dev_backend_reg(device), "ggml_backend_get_features"));
    if (!get_features) continue;
    for (const ggml_backend_feature* f = get_features(api.ggml_backend_dev_backend_reg(device)); f->name; f++)
      if (std::strcmp(f->value, "0") != 0) names.push_back(f->name);
  }
  return names;
}

}  // namespace scorehead
