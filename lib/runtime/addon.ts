/** Loading the compiled addon: a prebuild of the package, or the one compiled in this clone. */
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { ScoreheadError } from "../errors.ts";
import type { NativeAddon } from "./contract.ts";

const require = createRequire(import.meta.url);
/** The package's own folder: this file is lib/runtime/ in a clone and dist/runtime/ in the package. */
export const packageRoot: string = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

interface Manifest {
  readonly version: string;
  readonly llamaCpp: {
    readonly package: string;
    readonly version: string;
    readonly integrity: string;
    readonly release: string;
  };
}
export const manifest = require("../../package.json") as Manifest;
/** The package's version. */
export const version: string = manifest.version;

/** node-gyp-build. */
const prebuilt = require("node-gyp-build") as { (root: string): NativeAddon; path(root: string): string };

let loaded: NativeAddon | undefined;

/** The addon. Throws ERR_RUNTIME with the remedy where it cannot be loaded. */
export function addon(): NativeAddon {
  if (loaded) return loaded;
  try {
    const native = prebuilt(packageRoot);
    // Synchronous and the last thing to run, also after process.exit() in the middle of a batch.
    process.once("exit", () => native.shutDown());
    loaded = native;
    return native;
  } catch (cause) {
    throw new ScoreheadError(
      "ERR_RUNTIME",
      `The native addon cannot be loaded on ${process.platform}-${process.arch}: ${(cause as Error).message.split("\n")[0]}. ` +
        "Reinstall scorehead with install scripts allowed (`npm rebuild scorehead`); where no prebuild fits, that needs " +
        "Python 3, git and a C++ compiler.",
      cause,
    );
  }
}

/** The addon's file. */
export function addonPath(): string {
  return prebuilt.path(packageRoot);
}
