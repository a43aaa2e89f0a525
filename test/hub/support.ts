/** What the hub's tests share: a test hub, an empty cache, and the environment that points to both. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { ScoreheadError } from "../../lib/errors.ts";
import { parseHubName } from "../../lib/hub/name.ts";
import { findRevision } from "../../lib/hub/revision.ts";
import { openSnapshot, type SnapshotOptions } from "../../lib/hub/snapshot.ts";
import type { Snapshot } from "../../lib/hub/types.ts";
import { TestHub } from "./server.ts";

/** The variables that the hub's tools read, and every tool that uses the network. */
const VARIABLES = /^(HF_|HUGGING|TRANSFORMERS_|XDG_CACHE_HOME|(https?|no)_proxy$)/i;

/** Retries without the pauses. */
export const QUICK = { retryDelay: 1 } as const;

export interface HubWorld {
  readonly hub: TestHub;
  /** The cache's folder, `$HF_HOME/hub`. */
  readonly cache: string;
}

/** A test hub for the whole file, and an empty cache for every test. */
export function hubWorld(): HubWorld {
  const world = { hub: undefined as unknown as TestHub, cache: "" };
  const saved = { ...process.env };
  beforeAll(async () => {
    world.hub = await TestHub.start();
  });
  afterAll(() => world.hub.close());
  beforeEach(() => {
    const home = mkdtempSync(join(tmpdir(), "scorehead-hub-"));
    for (const name of Object.keys(process.env)) if (VARIABLES.test(name)) delete process.env[name];
    Object.assign(process.env, { HF_HOME: home, HF_ENDPOINT: world.hub.endpoint, HF_HUB_DOWNLOAD_TIMEOUT: "5" });
    world.cache = join(home, "hub");
    world.hub.requests.length = 0;
    world.hub.fault = () => null;
    world.hub.pageSize = 1000;
  });
  afterEach(() => {
    rmSync(join(world.cache, ".."), { recursive: true, force: true });
    for (const name of Object.keys(process.env)) if (VARIABLES.test(name)) delete process.env[name];
    Object.assign(process.env, saved);
  });
  return world;
}

/** The snapshot that a name means. */
export async function snapshotOf(name: string, options: SnapshotOptions = {}): Promise<Snapshot> {
  const parsed = parseHubName(name);
  if (!parsed) throw new Error(`${name} is no name.`);
  const revision = await findRevision(parsed, { ...QUICK, ...options });
  return openSnapshot(revision, { ...QUICK, type: parsed.type, ...options });
}

/** The error that a call fails with. */
export async function failureOf(call: () => Promise<unknown>): Promise<ScoreheadError> {
  try {
    await call();
  } catch (error) {
    if (error instanceof ScoreheadError) return error;
    throw error;
  }
  throw new Error("The call was expected to fail.");
}
