/** Finding and loading the accelerator: scorehead's own kernels for the CPU, a library beside the addon. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { addonPath } from "./addon.ts";
import type { NativeAddon } from "./contract.ts";
import { LIBRARY_EXTENSION } from "./locate.ts";

export interface Accelerator {
  /** The kernels that fit this processor, e.g. "avx512-vnni"; null: there are none. */
  readonly kernels: string | null;
  /** Why there are none, or empty. */
  readonly reason: string;
}

/** What binding.gyp compiles it for. */
const PLATFORMS: readonly string[] = ["linux-x64"];

/** Loads the accelerator, once for the process. To be called after opening the libraries and before any model is. */
export function loadAccelerator(native: NativeAddon): Accelerator {
  const platform = `${process.platform}-${process.arch}`;
  // Native code inside an Electron archive is unpacked beside it.
  const folder = dirname(addonPath()).replace(/app\.asar(?=[\\/])/, "app.asar.unpacked");
  const path = join(folder, `scorehead-accel.${LIBRARY_EXTENSION}`);
  if (existsSync(path)) return native.loadAccelerator(path);
  const reason = PLATFORMS.includes(platform)
    ? `there is no ${path}; install scorehead again`
    : `it is not made for ${platform} yet`;
  return { kernels: null, reason };
}
