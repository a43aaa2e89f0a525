// Exclusive locks on open files, kept by the operating system: they end with the file, and so with the process that
// holds them, however it dies.
#pragma once

namespace scorehead {

enum class FileLock { kTaken, kBusy, kUnsupported };

// Takes the lock on `fd`, a file descriptor of Node's, without waiting. Closing the file gives it back. The same kind of
// lock as Python's filelock takes, and so huggingface_hub.
FileLock lock_file(int fd);

}  // namespace scorehead
