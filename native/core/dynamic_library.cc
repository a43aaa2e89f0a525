#include "dynamic_library.h"

#include <vector>

#include "error.h"

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#else
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#ifdef __APPLE__
#include <mach-o/dyld.h>
#else
#include <link.h>
#endif
#endif

namespace scorehead {
namespace {

std::string file_name(const std::string& path) {
  const size_t slash = path.find_last_of("/\\");
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

}  // namespace

#ifdef _WIN32

namespace {

std::wstring wide(const std::string& text) {
  const int n = MultiByteToWideChar(CP_UTF8, 0, text.c_str(), -1, nullptr, 0);
  std::wstring out(n > 0 ? n - 1 : 0, L'\0');
  if (n > 0) MultiByteToWideChar(CP_UTF8, 0, text.c_str(), -1, &out[0], n);
  return out;
}

std::string narrow(const wchar_t* text) {
  const int n = WideCharToMultiByte(CP_UTF8, 0, text, -1, nullptr, 0, nullptr, nullptr);
  std::string out(n > 0 ? n - 1 : 0, '\0');
  if (n > 0) WideCharToMultiByte(CP_UTF8, 0, text, -1, &out[0], n, nullptr, nullptr);
  return out;
}

}  // namespace

LibraryHandle open_library(const std::string& path) {
  // ALTERED_SEARCH_PATH: the libraries find each other beside themselves, not beside node.exe.
  HMODULE handle = LoadLibraryExW(wide(path).c_str(), nullptr, LOAD_WITH_ALTERED_SEARCH_PATH);
  if (!handle) throw Error("ERR_RUNTIME", "Cannot open " + path + ": Windows error " + std::to_string(GetLastError()) + ".");
  return handle;
}

void* find_symbol(LibraryHandle handle, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(handle), name));
}

std::string mapped_elsewhere(const std::string& path) {
  HMODULE handle = GetModuleHandleW(wide(file_name(path)).c_str());
  if (!handle) return "";
  wchar_t mapped[32768];
  if (!GetModuleFileNameW(handle, mapped, 32768)) return "";
  return _wcsicmp(mapped, wide(path).c_str()) == 0 ? "" : narrow(mapped);
}

#else

namespace {

std::string real_path(const std::string& path) {
  char resolved[PATH_MAX];
  return realpath(path.c_str(), resolved) ? std::string(resolved) : path;
}

std::vector<std::string> mapped_libraries() {
  std::vector<std::string> paths;
#ifdef __APPLE__
  for (uint32_t i = 0; i < _dyld_image_count(); i++) paths.push_back(_dyld_get_image_name(i));
#else
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        static_cast<std::vector<std::string>*>(out)->push_back(info->dlpi_name);
        return 0;
      },
      &paths);
#endif
  return paths;
}

}  // namespace

LibraryHandle open_library(const std::string& path) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char* reason = dlerror();
    throw Error("ERR_RUNTIME", "Cannot open " + path + ": " + (reason ? reason : "unknown reason") + ".");
  }
  return handle;
}

void* find_symbol(LibraryHandle handle, const char* name) { return dlsym(handle, name); }

std::string mapped_elsewhere(const std::string& path) {
  const std::string wanted = real_path(path), name = file_name(path);
  for (const std::string& mapped : mapped_libraries())
    if (file_name(mapped) == name && real_path(mapped) != wanted) return mapped;
  return "";
}

#endif

}  // namespace scorehead
