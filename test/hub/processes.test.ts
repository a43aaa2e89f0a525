/** Several processes, and processes that are killed: what is under its final name is always whole. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, expect, it } from "vitest";
import { type CompiledLibrary, compileLibrary } from "./compiled.ts";
import { TestHub } from "./server.ts";

const PULLER = fileURLToPath(new URL("puller.mjs", import.meta.url));
const FILES: Readonly<Record<string, Buffer>> = {
  "config.json": Buffer.from('{"architectures": ["LlamaForScore"]}'),
  "tokenizer.json": randomBytes(70_000),
  "model.safetensors.index.json": Buffer.from(
    JSON.stringify({ weight_map: { a: "a.safetensors", b: "b.safetensors", c: "c.safetensors" } }),
  ),
  "a.safetensors": randomBytes(1_500_000),
  "b.safetensors": randomBytes(400_000),
  "c.safetensors": randomBytes(1),
};
const HASHES = new Set(Object.values(FILES).map((bytes) => createHash("sha256").update(bytes).digest("hex")));

/** A hub of its own, with its cache. */
interface Place {
  readonly hub: TestHub;
  readonly home: string;
}

let library: CompiledLibrary;
beforeAll(() => {
  library = compileLibrary();
  return () => rmSync(library.folder, { recursive: true });
});

const places: Place[] = [];

async function newPlace(): Promise<Place> {
  const place = { hub: await TestHub.start(), home: mkdtempSync(join(tmpdir(), "scorehead-killed-")) };
  place.hub.commit("owner/model", FILES);
  places.push(place);
  return place;
}

afterEach(async () => {
  for (const { hub, home } of places.splice(0)) {
    await hub.close();
    rmSync(home, { recursive: true, force: true });
  }
});

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

interface Puller {
  readonly child: ChildProcessByStdio<null, null, Readable>;
  readonly ended: Promise<Ended>;
}

function startPuller({ hub, home }: Place): Puller {
  const env = { PATH: process.env.PATH, HF_HOME: home, HF_ENDPOINT: hub.endpoint };
  const child = spawn(process.execPath, [PULLER, library.address, "owner/model"], {
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let stderr = "";
  child.stderr.on("data", (text) => {
    stderr += text;
  });
  const ended = new Promise<Ended>((resolve) => child.on("close", (code, signal) => resolve({ code, signal, stderr })));
  return { child, ended };
}

/** Whatever has its final name is what it should be, and a remembered revision means a whole snapshot. */
function expectSound({ home }: Place): void {
  const folder = join(home, "hub", "models--owner--model");
  const list = (...parts: string[]): string[] => {
    const path = join(folder, ...parts);
    return existsSync(path) ? readdirSync(path) : [];
  };
  for (const name of list("blobs").filter((blob) => !blob.endsWith(".incomplete"))) {
    const hash = createHash("sha256")
      .update(readFileSync(join(folder, "blobs", name)))
      .digest("hex");
    expect(HASHES.has(hash), `blob ${name}`).toBe(true);
  }
  for (const commit of list("snapshots"))
    for (const path of list("snapshots", commit).filter((name) => !name.startsWith(".")))
      expect(readFileSync(join(folder, "snapshots", commit, path)).equals(FILES[path] as Buffer), path).toBe(true);
  for (const ref of list("refs").filter((name) => name === "main")) {
    const commit = readFileSync(join(folder, "refs", ref), "utf8");
    expect(
      list("snapshots", commit)
        .filter((name) => !name.startsWith("."))
        .sort(),
    ).toEqual(Object.keys(FILES).sort());
  }
}

it("killed 50 times at random moments, the next process goes on, and all is right", async () => {
  const CHAINS = 5;
  const KILLS = 10;
  const chain = async (): Promise<void> => {
    const place = await newPlace();
    for (let kills = 0; kills < KILLS; ) {
      const { child, ended } = startPuller(place);
      // Of 14 requests for the whole; the delay reaches into what follows the last byte of a file.
      let left = Math.floor(Math.random() * 6);
      const delay = Math.random() * 15;
      place.hub.fault = () => {
        if (left-- === 0) sleep(delay).then(() => child.kill("SIGKILL"));
        return null;
      };
      const { code, signal, stderr } = await ended;
      expect([code, signal], stderr).toEqual(signal ? [null, "SIGKILL"] : [0, null]);
      expectSound(place);
      if (signal) kills++;
      // It was done before its time: from the beginning again.
      else rmSync(join(place.home, "hub"), { recursive: true });
    }
    place.hub.fault = () => null;
    const { code, stderr } = await startPuller(place).ended;
    expect(code, stderr).toBe(0);
    expectSound(place);
    const folder = join(place.home, "hub", "models--owner--model");
    expect(readdirSync(join(folder, "refs"))).toContain("main");
    expect(readdirSync(join(folder, "blobs")).filter((name) => name.endsWith(".incomplete"))).toEqual([]);
  };
  await Promise.all(Array.from({ length: CHAINS }, chain));
});

it("two processes at once get each file once", async () => {
  const place = await newPlace();
  place.hub.commit("owner/model", { "config.json": "{}", "model.safetensors": randomBytes(60) });
  const pullers = [startPuller(place), startPuller(place)];
  const after = Promise.race(pullers.map(waits));
  place.hub.fault = ({ kind }) => (kind === "bytes" ? { after } : null);
  const ended = await Promise.all(pullers.map((puller) => puller.ended));
  expect(ended.map(({ code }) => code)).toEqual([0, 0]);
  expect(place.hub.seen("bytes").map(({ range }) => range)).toEqual([null]);
  expect(place.hub.seen("small")).toHaveLength(1);
});

it("a process that waits goes on when the other one is killed", async () => {
  const place = await newPlace();
  place.hub.commit("owner/model", { "config.json": "{}", "model.safetensors": randomBytes(2_000_000) });
  const begun = new Promise<void>((resolve) => {
    place.hub.fault = ({ kind, count }) => {
      if (kind !== "bytes" || count > 1) return null;
      resolve();
      return { hangAfter: 1_500_000 };
    };
  });
  const first = startPuller(place);
  await begun;
  const second = startPuller(place);
  await waits(second);
  first.child.kill("SIGKILL");
  const { code, stderr } = await second.ended;
  expect(code, stderr).toBe(0);
  expect(place.hub.seen("bytes")[1]?.range).toMatch(/^bytes=1\d{6}-1999999$/);
});

/** Resolves when a puller says that it waits for another. */
function waits({ child }: Puller): Promise<void> {
  return new Promise((resolve) => {
    child.stderr.on("data", (text) => {
      if (/Another process is downloading model\.safetensors/.test(text)) resolve();
    });
  });
}
