/** The three published models as small checkpoints on a test hub, and what scoring them has to give. */
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import type { CaseName } from "../fixtures/cases.ts";
import { writeFixture } from "../fixtures/checkpoints.ts";
import type { TestHub } from "../hub/server.ts";
import { type HubWorld, hubWorld } from "../hub/support.ts";

/** Each model's repository, the case that it is made of, and the file that only it has. */
export const PUBLISHED = {
  beaver: { repository: "PKU-Alignment/beaver-7b-v1.0-cost", fixture: "beaver-cost" },
  starling: { repository: "berkeley-nest/Starling-RM-7B-alpha", fixture: "starling" },
  dpa: { repository: "RLHFlow/RewardModel-Mistral-7B-for-DPA-v1", fixture: "dpa" },
} as const satisfies Record<string, { repository: string; fixture: CaseName }>;

/** Starling's base model, which is gated. */
export const BASE = "meta-llama/Llama-2-7b-chat-hf";

/** Writes the checkpoints once; `publish` puts them on a hub. */
export class Publications {
  readonly folder = mkdtempSync(join(tmpdir(), "scorehead-published-"));

  async write(): Promise<void> {
    for (const { fixture } of Object.values(PUBLISHED)) {
      await writeFixture(fixture, join(this.folder, fixture));
    }
    // The repository itself has the weights alone.
    cpSync(join(this.folder, "starling", "base"), join(this.folder, "base"), { recursive: true });
    rmSync(join(this.folder, "starling", "base"), { recursive: true });
  }

  async publish(hub: TestHub): Promise<void> {
    for (const { repository, fixture } of Object.values(PUBLISHED))
      await hub.commitDirectory(repository, join(this.folder, fixture));
    await hub.commitDirectory(BASE, join(this.folder, "base"));
    hub.repository(BASE).access = "gated";
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export interface PublishedWorld extends HubWorld {
  /** Where the checkpoints lie that were published. */
  readonly folder: string;
  /** This test's converted models. */
  readonly converted: string;
}

/** A hub with the published models for the whole file, and empty caches for every test. */
export function publishedWorld(): PublishedWorld {
  const publications = new Publications();
  const world = hubWorld() as HubWorld & { folder: string; converted: string };
  world.folder = publications.folder;
  let cache = "";
  beforeAll(async () => {
    await publications.write();
    await publications.publish(world.hub);
  });
  afterAll(() => publications.remove());
  beforeEach(() => {
    cache = mkdtempSync(join(tmpdir(), "scorehead-cache-"));
    process.env.SCOREHEAD_CACHE = cache;
    world.converted = join(cache, "converted");
  });
  afterEach(() => rmSync(cache, { recursive: true, force: true }));
  return world;
}
