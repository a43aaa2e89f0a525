/** llama.cpp's own server, built from the pinned release: `/embedding` with `--pooling last`. */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { cacheDirectory } from "../../lib/cache-directory.ts";
import { checkOutRelease } from "../../scripts/llama-source.mjs";
import { peakMegabytes, type StartEngine } from "./engine.ts";

/** The server's binary; it is built once, which takes a quarter of an hour on two cores. */
function serverBinary(): string {
  const folder = cacheDirectory("bench", "llama-server");
  const binary = join(folder, "build", "bin", "llama-server");
  if (existsSync(binary)) return binary;
  console.error("Building llama-server …");
  rmSync(folder, { recursive: true, force: true });
  const sources = join(folder, "llama.cpp");
  mkdirSync(sources, { recursive: true });
  checkOutRelease(sources, ["."]);
  const settings = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_CURL=OFF",
  ];
  const build = join(folder, "build");
  for (const args of [
    ["-S", sources, "-B", build, ...settings],
    ["--build", build, "--target", "llama-server", "--parallel", String(availableParallelism())],
  ])
    if (spawnSync("cmake", args, { stdio: ["ignore", "ignore", "inherit"] }).status !== 0)
      throw new Error("llama-server could not be built.");
  return binary;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export const start: StartEngine = async ({ file, threads }) => {
  const port = await freePort();
  const options = {
    "--model": file,
    "--port": String(port),
    "--host": "127.0.0.1",
    "--pooling": "last",
    "--threads": String(threads),
    "--threads-batch": String(threads),
    "--ctx-size": "2048",
    "--batch-size": "2048",
    "--ubatch-size": "512",
    "--parallel": "1",
  };
  const child = spawn(serverBinary(), ["--embedding", ...Object.entries(options).flat()], { stdio: "ignore" });
  process.on("exit", () => child.kill());
  const url = `http://127.0.0.1:${port}`;
  while (
    !(await fetch(`${url}/health`).then(
      ({ ok }) => ok,
      () => false,
    ))
  ) {
    if (child.exitCode !== null) throw new Error("llama-server ended while it started.");
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return async ({ calls, perToken }) => {
    if (perToken) return null;
    for (const texts of calls)
      for (const content of texts) {
        const response = await fetch(`${url}/embedding`, { method: "POST", body: JSON.stringify({ content }) });
        if (!response.ok) throw new Error(`llama-server answers ${response.status}: ${await response.text()}`);
        await response.arrayBuffer();
      }
    return { reused: 0, peakMegabytes: peakMegabytes(child) };
  };
};
