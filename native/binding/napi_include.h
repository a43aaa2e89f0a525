// The one place that includes napi.h; binding.gyp sets NAPI_VERSION and C++ exceptions for all of it.
#pragma once

#include <napi.h>
