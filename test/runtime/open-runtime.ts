/**
 * Run by open.test.ts as a process of its own, because libraries are opened once a process. Prints what came of it as
 * JSON.
 *
 * usage: open-runtime.ts [--load ADDON] [--release VERSION]
 */
import { constants } from "node:os";
import { parseArgs } from "node:util";
import { addon } from "../../lib/runtime/addon.ts";
import type { LibrarySet } from "../../lib/runtime/contract.ts";
import { libraryIn, runtimeFolders } from "../../lib/runtime/locate.ts";
import { openRuntime, runtimeAttempts } from "../../lib/runtime/open.ts";

const { values } = parseArgs({ options: { load: { type: "string" }, release: { type: "string" } } });

function open(): unknown {
  if (values.release === undefined) {
    const { version, directory, origin, accelerator } = openRuntime();
    return { version, directory, origin, accelerator };
  }
  const sets = runtimeFolders().map(({ directory }) => libraryIn(directory));
  const set = sets.find((found): found is LibrarySet => typeof found === "object");
  if (!set) throw new Error("There are no libraries to try with.");
  return addon().openLibraries({ ...set, release: values.release });
}

function attempt(): unknown {
  try {
    return open();
  } catch (error) {
    const { name, code, message } = error as Error & { readonly code?: string };
    return { name, code, message };
  }
}

// As another package of the same program would.
if (values.load !== undefined) process.dlopen({ exports: {} }, values.load, constants.dlopen.RTLD_NOW);
const first = attempt();
console.log(JSON.stringify({ first, second: attempt(), attempts: runtimeAttempts() }));
