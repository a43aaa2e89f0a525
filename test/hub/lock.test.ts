/** Locks: one holds, the others wait, and what becomes of a lock whose file goes or that a file system does not have. */
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, it, vi } from "vitest";
import { withLock } from "../../lib/hub/lock.ts";
import { pull } from "../../lib/hub/pull.ts";
import { addon } from "../../lib/runtime/addon.ts";
import { failureOf, hubWorld, QUICK, snapshotOf } from "./support.ts";

const world = hubWorld();
afterEach(() => vi.restoreAllMocks());
const lock = (): string => join(world.cache, ".locks", "a.lock");

it("lets one in at a time", async () => {
  let inside = 0;
  let most = 0;
  const onWait = vi.fn();
  const job = async (exclusive: boolean): Promise<boolean> => {
    most = Math.max(most, ++inside);
    await sleep(100);
    inside--;
    return exclusive;
  };
  const results = await Promise.all(Array.from({ length: 5 }, () => withLock(lock(), { onWait }, job)));
  expect(results).toEqual([true, true, true, true, true]);
  expect(most).toBe(1);
  // Not by those that waited for a moment only, and by the others once.
  expect(onWait.mock.calls.length).toBeLessThan(5);
  expect(onWait).toHaveBeenCalled();
});

it("is free again after an error", async () => {
  await expect(withLock(lock(), {}, () => Promise.reject(new Error("mine")))).rejects.toThrow("mine");
  expect(await withLock(lock(), {}, async () => "in")).toBe("in");
});

it("can be given up waiting for", async () => {
  const caller = new AbortController();
  await withLock(lock(), {}, async () => {
    const waiting = failureOf(() => withLock(lock(), { signal: caller.signal }, async () => "in"));
    await sleep(50);
    caller.abort();
    expect((await waiting).code).toBe("ERR_ABORTED");
  });
});

it("holds for those that come after its file was removed, too", async () => {
  const order: string[] = [];
  const first = withLock(lock(), {}, async () => {
    await sleep(60);
    rmSync(lock());
    order.push("first");
  });
  await sleep(20);
  await Promise.all([first, withLock(lock(), {}, async () => order.push("second"))]);
  expect(order).toEqual(["first", "second"]);
});

it("is done without where the file system has none, by files of one's own", async () => {
  vi.spyOn(addon(), "lockFile").mockReturnValue("unsupported");
  const weights = randomBytes(100_000);
  world.hub.commit("owner/model", { "config.json": "{}", "model.safetensors": weights });
  world.hub.fault = ({ kind }) => (kind === "bytes" ? { cutAfter: 50_000 } : null);
  const blobs = join(world.cache, "models--owner--model", "blobs");
  // Each connection brings half of the file, so this one ends well.
  const snapshot = await snapshotOf("owner/model");
  await pull(snapshot, QUICK);
  expect(readFileSync(join(snapshot.directory, "model.safetensors")).equals(weights)).toBe(true);
  rmSync(blobs, { recursive: true });
  world.hub.fault = ({ kind }) => (kind === "bytes" ? { cutAfter: 0 } : null);
  const both = await Promise.allSettled([pull(snapshot, QUICK), pull(snapshot, QUICK)]);
  expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(readdirSync(blobs).filter((name) => name.endsWith(".incomplete"))).toEqual([]);
  world.hub.fault = () => null;
  await Promise.all([pull(snapshot, QUICK), pull(snapshot, QUICK)]);
  expect(readFileSync(join(snapshot.directory, "model.safetensors")).equals(weights)).toBe(true);
});
