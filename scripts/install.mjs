// npm's install step: nothing where a prebuilt addon fits this machine, else the addon is compiled.
// @ts-check
import { createRequire } from "node:module";
import { buildAddon } from "./build-addon.mjs";
import { packageRoot } from "./llama-source.mjs";

const require = createRequire(import.meta.url);

function prebuildFits() {
  try {
    require("node-gyp-build")(packageRoot);
    return true;
  } catch {
    return false;
  }
}

try {
  if (!prebuildFits()) buildAddon();
} catch (error) {
  console.error(`scorehead: ${/** @type {Error} */ (error).message}`);
  process.exitCode = 1;
}
