// The operating system's loader: open a library, look up a symbol, find a copy that is already mapped.
#pragma once

#include <string>

namespace scorehead {

using LibraryHandle = void*;

// Opens by absolute path and keeps it open for the life of the process: llama.cpp's libraries hold static state and
// threads that do not survive being unloaded. Throws ERR_RUNTIME with the loader's own words.
LibraryHandle open_library(const std::string& path);

// Null where the library does not have it.
void* find_symbol(LibraryHandle handle, const char* name);

// The path from which a library of the same file name is already mapped, if that is not `path` itself; else empty.
std::string mapped_elsewhere(const std::string& path);

}  // namespace scorehead
