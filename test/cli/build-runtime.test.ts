/** `scorehead build-runtime` up to the compiler: the build itself takes minutes and is tried by hand. */
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { outcome, runCli, startCli, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
const cache = join(folder, "cache");

/** Under npm, its own script would run instead of the npm on the PATH. */
const NO_NPM_SCRIPT = { npm_execpath: "" };

/** A PATH that holds nothing but these programs, each a shell script. */
function pathWith(name: string, programs: Readonly<Record<string, string>>): string {
  const directory = join(folder, name);
  mkdirSync(directory);
  for (const [program, script] of Object.entries(programs)) {
    writeFileSync(join(directory, program), `#!/bin/sh\n${script}\n`);
    chmodSync(join(directory, program), 0o755);
  }
  return directory;
}

const OTHERS = { tar: "", git: "", cmake: "", "g++": "", make: "" };

describe.skipIf(process.platform === "win32")("build-runtime", () => {
  test("names every program that is missing, and how to get it", async () => {
    const path = pathWith("without-some", { npm: "", tar: "", make: "" });
    const { code, stdout, stderr } = await runCli(["build-runtime"], {
      env: { SCOREHEAD_CACHE: cache, PATH: path, ...NO_NPM_SCRIPT },
    });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain("(ERR_BUILD)");
    for (const missing of [
      /^ {2}git .*git-scm\.com/m,
      /^ {2}cmake .*cmake\.org/m,
      /^ {2}g\+\+ or clang\+\+ \(to compile\)/m,
    ])
      expect(stderr).toMatch(missing);
    expect(stderr).not.toMatch(/^ {2}(npm|tar|make or ninja) /m);
  });

  test("a GPU kind has programs of its own", async () => {
    const env = { SCOREHEAD_CACHE: cache, PATH: pathWith("without-gpu", { npm: "", ...OTHERS }), CUDACXX: "" };
    const { code, stderr } = await runCli(["build-runtime", "--gpu", "vulkan"], { env });
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^ {2}glslc .*vulkan\.lunarg\.com/m),
    });
  });

  test.runIf(process.platform === "linux")("Metal elsewhere than on macOS is wrong usage", async () => {
    expect(await runCli(["build-runtime", "--gpu", "metal"])).toMatchObject({ code: 2 });
  });

  test("a tarball with another hash is not built", async () => {
    const path = pathWith("other-tarball", { npm: "echo other > node-llama-cpp.tgz", ...OTHERS });
    const { code, stderr } = await runCli(["build-runtime"], {
      env: { SCOREHEAD_CACHE: cache, PATH: path, ...NO_NPM_SCRIPT },
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/its hash is sha512-\S+, and sha512-\S+ was expected.*\(ERR_BUILD\)/s);
    expect(readdirSync(join(cache, "build"))).toEqual([]);
  });

  test("a failing tool is named with the end of its output", async () => {
    const path = pathWith("failing", { npm: "echo the registry is down >&2; exit 7", ...OTHERS });
    const { code, stderr } = await runCli(["build-runtime"], {
      env: { SCOREHEAD_CACHE: cache, PATH: path, ...NO_NPM_SCRIPT },
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/`npm pack .*` failed with exit code 7:\nthe registry is down\s+\(ERR_BUILD\)/);
  });

  test("Ctrl-C ends it as interrupted programs end, and its work is removed", async () => {
    const path = pathWith("slow", { npm: "exec /bin/sleep 60", ...OTHERS });
    const child = startCli(["build-runtime"], { env: { SCOREHEAD_CACHE: cache, PATH: path, ...NO_NPM_SCRIPT } });
    const ended = outcome(child);
    await once(child.stderr, "data");
    child.kill("SIGINT");
    expect(await ended).toMatchObject({ code: null, signal: "SIGINT", stdout: "" });
    expect(readdirSync(join(cache, "build"))).toEqual([]);
    expect(existsSync(join(cache, "runtime"))).toBe(false);
  });
});
