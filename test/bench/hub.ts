/**
 * `npm run bench:hub`: pulling one large file beside `curl | sha256sum` on the same file, from a test hub in a process of
 * its own; in one run, interleaved; medians and ratios. curl writes nothing to disk; the pull does, and syncs.
 *
 *     npm run bench:hub -- [--gigabytes 2] [--rounds 3] [--directory DIR] [--json]
 */
import { type ChildProcess, execFileSync, fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { pull } from "../../lib/hub/pull.ts";
import { findRevision } from "../../lib/hub/revision.ts";
import { openSnapshot } from "../../lib/hub/snapshot.ts";
import { TestHub } from "../hub/server.ts";

const REPOSITORY = "bench/model";
const FILE = "model.safetensors";

interface Pulled {
  readonly seconds: number;
  /** The most memory, in MB: during the first quarter of the bytes, and until the end. */
  readonly quarterMegabytes: number;
  readonly peakMegabytes: number;
  /** Milliseconds. */
  readonly eventLoopP99: number;
  readonly eventLoopLongest: number;
}

/** Serves `directory`; tells its address. */
async function serve(directory: string): Promise<void> {
  const hub = await TestHub.start();
  await hub.commitDirectory(REPOSITORY, directory);
  process.send?.(hub.endpoint);
}

/** Pulls once into the cache of the environment; tells what it took. */
async function pullOnce(): Promise<void> {
  const megabytes = (): number => (process.resourceUsage().maxRSS * 1024) / 1e6;
  const delay = monitorEventLoopDelay({ resolution: 1 });
  let quarterMegabytes = 0;
  delay.enable();
  const begin = performance.now();
  const snapshot = await openSnapshot(await findRevision({ repository: REPOSITORY, revision: "main" }));
  await pull(snapshot, {
    onProgress: ({ bytes, total }) => {
      if (quarterMegabytes === 0 && bytes > total / 4) quarterMegabytes = megabytes();
    },
  });
  const measured: Pulled = {
    seconds: (performance.now() - begin) / 1000,
    quarterMegabytes,
    peakMegabytes: megabytes(),
    eventLoopP99: delay.percentile(99) / 1e6,
    eventLoopLongest: delay.max / 1e6,
  };
  process.send?.(measured);
}

function startChild(role: string, argument: string, env: NodeJS.ProcessEnv = {}): ChildProcess {
  return fork(fileURLToPath(import.meta.url), [role, argument], {
    execArgv: ["--import", "tsx"],
    env: { ...process.env, ...env },
  });
}

async function answer(child: ChildProcess): Promise<unknown> {
  const ended = once(child, "exit").then(([code]) =>
    Promise.reject(new Error(`A child ended with exit code ${code}.`)),
  );
  return Promise.race([once(child, "message").then(([message]) => message), ended]);
}

function writeRandom(path: string, bytes: number): void {
  const file = openSync(path, "w");
  for (let left = bytes; left > 0; ) left -= writeSync(file, randomBytes(Math.min(left, 1 << 24)));
  closeSync(file);
}

function curlSeconds(address: string): number {
  const begin = performance.now();
  execFileSync("sh", ["-c", `curl --silent --fail --location '${address}' | sha256sum`]);
  return (performance.now() - begin) / 1000;
}

async function pullSeconds(endpoint: string, home: string): Promise<Pulled> {
  const child = startChild("pull", "", { HF_ENDPOINT: endpoint, HF_HOME: home });
  const measured = (await answer(child)) as Pulled;
  rmSync(home, { recursive: true });
  return measured;
}

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;

async function compare(): Promise<void> {
  const { values } = parseArgs({
    options: {
      gigabytes: { type: "string", default: "2" },
      rounds: { type: "string", default: "3" },
      directory: { type: "string", default: tmpdir() },
      json: { type: "boolean", default: false },
    },
  });
  const bytes = Number(values.gigabytes) * 1e9;
  const folder = mkdtempSync(join(values.directory, "scorehead-bench-hub-"));
  const model = join(folder, "model");
  mkdirSync(model);
  writeFileSync(join(model, "config.json"), "{}");
  writeRandom(join(model, FILE), bytes);
  const server = startChild("serve", model);
  try {
    const endpoint = (await answer(server)) as string;
    const curl: number[] = [];
    const pulled: Pulled[] = [];
    for (let round = 0; round < Number(values.rounds); round++) {
      curl.push(curlSeconds(`${endpoint}/${REPOSITORY}/resolve/main/${FILE}`));
      pulled.push(await pullSeconds(endpoint, join(folder, "home")));
    }
    const result = {
      gigabytes: bytes / 1e9,
      curlMegabytesPerSecond: bytes / 1e6 / median(curl),
      pullMegabytesPerSecond: bytes / 1e6 / median(pulled.map(({ seconds }) => seconds)),
      ratio: median(pulled.map(({ seconds }, round) => (curl[round] as number) / seconds)),
      quarterMegabytes: median(pulled.map(({ quarterMegabytes }) => quarterMegabytes)),
      peakMegabytes: Math.max(...pulled.map(({ peakMegabytes }) => peakMegabytes)),
      eventLoopP99: median(pulled.map(({ eventLoopP99 }) => eventLoopP99)),
      eventLoopLongest: Math.max(...pulled.map(({ eventLoopLongest }) => eventLoopLongest)),
    };
    console.log(values.json ? JSON.stringify(result) : table(result));
  } finally {
    server.kill();
    rmSync(folder, { recursive: true });
  }
}

function table(result: Readonly<Record<string, number>>): string {
  return Object.entries(result)
    .map(([name, value]) => `${name.padEnd(24)} ${value.toFixed(2).padStart(10)}`)
    .join("\n");
}

const [, , role, argument = ""] = process.argv;
if (role === "serve") await serve(argument);
else if (role === "pull") await pullOnce();
else await compare();
