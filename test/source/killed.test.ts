/** Scoring by name in processes that are killed, and in two at once: what has its final name is always right. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { loadGolden } from "../fixtures/golden.ts";
import { type CompiledLibrary, compileLibrary } from "../hub/compiled.ts";
import { TestHub } from "../hub/server.ts";
import { scoreSpreads } from "../model/numbers.ts";
import { PUBLISHED, Publications } from "./published.ts";

const { repository, fixture } = PUBLISHED.beaver;
const golden = loadGolden(fixture);
const [{ text, endScores }] = golden.results as [(typeof golden.results)[0]];
/** One type that is written as it arrives, and one that takes the quantiser; each with what it may cost. */
const TYPES = ["q8_0", "q4_0"] as const;
type Type = (typeof TYPES)[number];
const BOUNDS: Readonly<Record<Type, number>> = { q8_0: 4e-2, q4_0: 3e-1 };

const publications = new Publications();
let library: CompiledLibrary;
beforeAll(async () => {
  library = compileLibrary();
  await publications.write();
});
afterAll(() => {
  publications.remove();
  rmSync(library.folder, { recursive: true });
});

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A hub of its own, with empty caches. */
class Place {
  readonly hub: TestHub;
  readonly folder = mkdtempSync(join(tmpdir(), "scorehead-killed-"));

  private constructor(hub: TestHub) {
    this.hub = hub;
  }

  static async open(): Promise<Place> {
    const place = new Place(await TestHub.start());
    await publications.publish(place.hub);
    return place;
  }

  async close(): Promise<void> {
    await this.hub.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  start(type: Type, ...options: readonly string[]): { readonly kill: () => void; readonly ended: Promise<Ended> } {
    const main = fileURLToPath(`${library.address}/cli/main.js`);
    const args = [
      main,
      "score",
      `${repository}:${type}`,
      "--text",
      String(text),
      "--json",
      "--device",
      "cpu",
      "--threads",
      "1",
    ];
    const env = {
      PATH: process.env.PATH,
      HF_HOME: join(this.folder, "hf"),
      HF_ENDPOINT: this.hub.endpoint,
      SCOREHEAD_CACHE: join(this.folder, "cache"),
    };
    const child = spawn(process.execPath, [...args, ...options], { env });
    const [out, err]: [Buffer[], Buffer[]] = [[], []];
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
    const ended = new Promise<Ended>((resolve) => {
      child.on("close", (code, signal) =>
        resolve({ code, signal, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() }),
      );
    });
    return { kill: () => child.kill("SIGKILL"), ended };
  }

  /** Names under the cache of converted models. */
  converted(): string[] {
    const folder = join(this.folder, "cache", "converted");
    return existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: "utf8" }) : [];
  }

  /** The converted models that have their final name. */
  models(): string[] {
    return this.converted().filter((name) => /[/\\][^.][^/\\]*q\d_0\.gguf$/.test(name));
  }

  forget(): void {
    rmSync(this.folder, { recursive: true, force: true });
    this.hub.requests.length = 0;
  }

  hash(name: string): string {
    return createHash("sha256")
      .update(readFileSync(join(this.folder, "cache", "converted", name)))
      .digest("hex");
  }
}

function expectRight(type: Type, { code, stdout, stderr }: Ended): void {
  expect(code, stderr).toBe(0);
  const { endScores: found } = JSON.parse(stdout);
  const error = Math.abs(found[0] - (endScores[0] as number));
  expect(error / (scoreSpreads(golden)[0] as number)).toBeLessThan(BOUNDS[type]);
}

/** Moments at which a process is killed, from the first request to after the model has its name. */
const MOMENTS: readonly ((place: Place) => boolean)[] = [
  ...[1, 3, 8, 12, 16, 20].map(
    (count) =>
      ({ hub }: Place) =>
        hub.requests.length >= count,
  ),
  (place) => place.converted().some((name) => name.endsWith("record.json")),
  (place) => place.converted().some((name) => name.endsWith("base.tmp")),
  (place) => place.converted().some((name) => name.endsWith("partial.gguf.json")),
  (place) => place.converted().some((name) => /\.[0-9a-f]{12}\.tmp$/.test(name)),
  (place) => place.models().length > 0,
];

const random = (below: number): number => Math.floor(Math.random() * below);

/** What all conversions have to be. */
const hashes = new Map<Type, string>();
beforeAll(async () => {
  const place = await Place.open();
  for (const type of TYPES) {
    expectRight(type, await place.start(type).ended);
    hashes.set(type, place.hash(place.models().find((name) => name.includes(type)) ?? ""));
  }
  await place.close();
});

it("killed 50 times at random moments, the same command goes on, and the score is right", async () => {
  const [CHAINS, KILLS] = [5, 10];
  const chain = async (number: number): Promise<void> => {
    const place = await Place.open();
    const type = TYPES[number % 2] as Type;
    const options = number < CHAINS / 2 ? [] : ["--discard-downloads"];
    const hash = hashes.get(type);
    try {
      for (let kills = 0; kills < KILLS; ) {
        const isDue = MOMENTS[random(MOMENTS.length)] as (typeof MOMENTS)[0];
        const process = place.start(type, ...options);
        let running = true;
        const ended = process.ended.finally(() => {
          running = false;
        });
        while (running && !isDue(place)) await sleep(2);
        await sleep(random(40));
        process.kill();
        const { code, signal, stdout, stderr } = await ended;
        for (const name of place.models()) expect(place.hash(name)).toBe(hash);
        if (signal !== null) kills++;
        else expectRight(type, { code, signal, stdout, stderr });
        // Where the model is there, from the beginning again; the other chains go on with what is left.
        if (place.models().length > 0) place.forget();
        place.hub.requests.length = 0;
      }
      expectRight(type, await place.start(type, ...options).ended);
      expect(place.hash(place.models()[0] as string)).toBe(hash);
      // The entry, and in it model, record and lock.
      expect(place.converted()).toHaveLength(4);
    } finally {
      await place.close();
    }
  };
  await Promise.all(Array.from({ length: CHAINS }, (_, number) => chain(number)));
}, 180_000);

it("of two at once one converts and the other waits; where that one is killed, the other goes on", async () => {
  for (const isKilled of [false, true]) {
    const place = await Place.open();
    try {
      const [first, second] = [place.start("q8_0"), place.start("q8_0")];
      if (isKilled) {
        while (!place.converted().some((name) => name.endsWith("record.json"))) await sleep(2);
        // Whichever works: it is killed, or the other one was waiting and now works.
        first.kill();
      }
      const [one, two] = await Promise.all([first.ended, second.ended]);
      if (!isKilled) {
        expectRight("q8_0", one);
        expect(one.stderr + two.stderr).toMatch(/Another process is (converting|downloading)/);
        expect(place.hub.seen("bytes", "model-00001-of-00007.safetensors").filter(({ range }) => !range)).toHaveLength(
          1,
        );
      }
      expectRight("q8_0", two);
      expect(place.models().map((name) => place.hash(name))).toEqual([hashes.get("q8_0")]);
      expect(place.converted()).toHaveLength(4);
    } finally {
      await place.close();
    }
  }
});
