// Checks that the addon exports exactly the functions that lib/runtime/contract.ts types.
// @ts-check
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "./llama-source.mjs";

const addon = readFileSync(join(packageRoot, "native/binding/addon.cc"), "utf8");
const contract = readFileSync(join(packageRoot, "lib/runtime/contract.ts"), "utf8");
const exported = [...addon.matchAll(/exports\.Set\("(\w+)"/g)].map(([, name]) => name).sort();
const body = contract.match(/export interface NativeAddon \{(.*?)^\}/ms)?.[1] ?? "";
const typed = [...body.matchAll(/^ {2}(\w+)\(/gm)].map(([, name]) => name).sort();
if (exported.join() !== typed.join() || exported.length === 0) {
  console.error(`The addon exports ${exported.join(", ")}\nand contract.ts types ${typed.join(", ")}.`);
  process.exitCode = 1;
}
