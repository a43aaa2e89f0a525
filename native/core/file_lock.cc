#include "file_lock.h"

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
// Node's descriptors belong to its own C runtime, and so does the way back to the handle.
#include <uv.h>
#else
#include <errno.h>
#include <sys/file.h>
#endif

namespace scorehead {

#ifdef _WIN32

FileLock lock_file(int fd) {
  OVERLAPPED from_start = {};
  const DWORD flags = LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY;
  const HANDLE file = reinterpret_cast<HANDLE>(uv_get_osfhandle(fd));
  if (LockFileEx(file, flags, 0, 1, 0, &from_start)) return FileLock::kTaken;
  return GetLastError() == ERROR_LOCK_VIOLATION ? FileLock::kBusy : FileLock::kUnsupported;
}

#else

FileLock lock_file(int fd) {
  int result;
  do {
    result = flock(fd, LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return FileLock::kTaken;
  return errno == EWOULDBLOCK ? FileLock::kBusy : FileLock::kUnsupported;
}

#endif

}  // namespace scorehead
