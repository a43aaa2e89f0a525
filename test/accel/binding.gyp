# The checks of native/accel, a program of its own: no Node in it, so that it runs under valgrind and the sanitizers as it is.
{
  "includes": ["../../native/accel/kernels.gypi"],
  "variables": { "sanitize%": "" },
  "target_defaults": {
    "cflags_cc!": ["-fno-exceptions", "-std=gnu++17"],
    "cflags_cc": ["-std=c++17", "-O2", "-g", "-Wall", "-Wextra"],
    "conditions": [["sanitize!=''", { "cflags_cc": ["-fsanitize=<(sanitize)", "-fno-sanitize-recover=all"], "ldflags": ["-fsanitize=<(sanitize)"] }]]
  },
  "targets": [
    {
      "target_name": "accel-check",
      "type": "executable",
      "dependencies": ["accel_avx2", "accel_avx_vnni", "accel_avx512_vnni", "accel_avx512_bf16"],
      "sources": [
        "native/attention_check.cc",
        "native/main.cc",
        "native/product_check.cc",
        "native/reference.cc",
        "native/stock.cc",
        "../../native/accel/attention.cc",
        "../../native/accel/cpu.cc",
        "../../native/accel/matmul.cc"
      ],
      "include_dirs": ["../../native/vendor/ggml/include", "../../native/vendor/ggml/src", "../../native/accel"],
      "libraries": ["-ldl", "-pthread"]
    },
    {
      "target_name": "accel-peak",
      "type": "executable",
      "dependencies": ["accel_avx2", "accel_avx_vnni", "accel_avx512_vnni", "accel_avx512_bf16"],
      "sources": ["native/peak.cc", "../../native/accel/cpu.cc"],
      "include_dirs": ["../../native/vendor/ggml/include", "../../native/accel"],
      "libraries": ["-pthread"]
    }
  ]
}
