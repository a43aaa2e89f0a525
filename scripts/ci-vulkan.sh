#!/usr/bin/env bash
# Makes the Vulkan tests run on a machine without a GPU: Mesa's software driver, and the Vulkan build of the pinned
# runtime. Where that cannot be had the tests say that they did not run.
set -u
cd "$(dirname "$0")/.."
if ! ls /usr/share/vulkan/icd.d/lvp_icd*.json >/dev/null 2>&1; then
  { apt-get update -qq && apt-get install -y -qq mesa-vulkan-drivers libvulkan1; } >/dev/null 2>&1 ||
    echo "Vulkan: mesa-vulkan-drivers cannot be installed here."
fi
version=$(node -p "require('./package.json').llamaCpp.version")
node scripts/bootstrap.mjs &&
  npm install --no-save --no-audit --no-fund --ignore-scripts "@node-llama-cpp/linux-x64-vulkan@$version" >/dev/null 2>&1 ||
  echo "Vulkan: the runtime package cannot be installed here."
