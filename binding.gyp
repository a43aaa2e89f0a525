{
  "variables": { "sanitize%": "" },
  "target_defaults": {
    "cflags!": ["-fno-exceptions"],
    "cflags_cc!": ["-fno-exceptions", "-std=gnu++17"],
    "cflags_cc": ["-std=c++17", "-Wall", "-Wextra", "-fvisibility=hidden"],
    "conditions": [
      ["sanitize!=''", { "cflags_cc": ["-fsanitize=<(sanitize)", "-fno-sanitize-recover=all", "-g"], "ldflags": ["-fsanitize=<(sanitize)"] }]
    ]
  },
  "targets": [
    {
      "target_name": "scorehead",
      "sources": [
        "native/core/accelerator.cc",
        "native/core/dequantize.cc",
        "native/core/dynamic_library.cc",
        "native/core/engine.cc",
        "native/core/file_lock.cc",
        "native/core/graph_observer.cc",
        "native/core/head.cc",
        "native/core/libraries.cc",
        "native/core/log.cc",
        "native/core/worker.cc",
        "native/binding/addon.cc",
        "native/binding/arguments.cc",
        "native/binding/environment.cc"
      ],
      "include_dirs": [
        "<!(node -p \"require('node-addon-api').include_dir\")",
        "native/vendor/include",
        "native/vendor/ggml/include"
      ],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_CPP_EXCEPTIONS_ALL", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags_cc": ["-O3"],
      "xcode_settings": {
        "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
        "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
        "MACOSX_DEPLOYMENT_TARGET": "11.0"
      },
      "msvs_settings": { "VCCLCompilerTool": { "ExceptionHandling": 1, "AdditionalOptions": ["/std:c++17", "/utf-8"] } },
      "conditions": [["OS=='linux'", { "libraries": ["-ldl"] }]]
    }
  ],
  "conditions": [
    ["OS=='linux' and target_arch=='x64'", {
      "includes": ["native/accel/accel.gypi"]
    }]
  ]
}
