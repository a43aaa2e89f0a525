/** Disks that are full, or become so. */
import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { pull } from "../../lib/hub/pull.ts";
import { failureOf, hubWorld, QUICK, snapshotOf } from "./support.ts";

const world = hubWorld();
const WEIGHTS = randomBytes(3_000_000);

/** A file system of 4 MiB in memory, where this process may mount one. */
const small = mkdtempSync(join(tmpdir(), "scorehead-small-"));
const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", small]).status === 0;
afterAll(() => {
  if (mounted) spawnSync("umount", [small]);
  rmSync(small, { recursive: true, force: true });
});

const blobs = (cache: string): string[] => readdirSync(join(cache, "models--owner--model", "blobs")).sort();

describe.skipIf(!mounted)("a small disk", () => {
  it("that cannot hold the model is refused before anything is downloaded", async () => {
    process.env.HF_HOME = small;
    const big = Buffer.concat([WEIGHTS, WEIGHTS]);
    world.hub.commit("owner/model", { "config.json": "{}", "model.safetensors": big });
    const error = await failureOf(async () => pull(await snapshotOf("owner/model"), QUICK));
    expect(error.code).toBe("ERR_DISK_SPACE");
    expect(error.message).toMatch(/0\.01 GB are needed to download owner\/model, and .* has 0\.00 GB free.*HF_HOME/);
    expect(world.hub.seen("resolve")).toEqual([]);
  });

  it("that somebody else fills meanwhile: an error, and after that it goes on", async () => {
    process.env.HF_HOME = small;
    world.hub.commit("owner/model", { "config.json": "{}", "model.safetensors": WEIGHTS });
    const filler = join(small, "filler");
    world.hub.fault = ({ kind }) => {
      if (kind === "bytes") writeFileSync(filler, Buffer.alloc(2_500_000));
      return null;
    };
    const error = await failureOf(async () => pull(await snapshotOf("owner/model"), QUICK));
    expect(error.code).toBe("ERR_DISK_SPACE");
    expect(error.message).toMatch(/The disk is full.*is kept/);
    const hash = createHash("sha256").update(WEIGHTS).digest("hex");
    const cache = join(small, "hub");
    expect(blobs(cache)).not.toContain(hash);
    rmSync(filler);
    world.hub.fault = () => null;
    const directory = await pull(await snapshotOf("owner/model"), QUICK);
    expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
    expect(world.hub.seen("bytes").at(-1)?.range).toMatch(/^bytes=1\d+-2999999$/);
  });
});

describe.runIf(process.platform === "linux")("a write that fails", () => {
  it("for want of space is ERR_DISK_SPACE, and nothing gets its final name", async () => {
    world.hub.commit("owner/model", { "config.json": "{}", "model.safetensors": WEIGHTS });
    const hash = createHash("sha256").update(WEIGHTS).digest("hex");
    const blob = join(world.cache, "models--owner--model", "blobs", hash);
    mkdirSync(dirname(blob), { recursive: true });
    symlinkSync("/dev/full", `${blob}.incomplete`);
    const error = await failureOf(async () => pull(await snapshotOf("owner/model"), QUICK));
    expect(error.code).toBe("ERR_DISK_SPACE");
    expect(blobs(world.cache)).not.toContain(hash);
  });

  it("for want of permission is ERR_IO", async () => {
    world.hub.commit("owner/model", { "config.json": "{}", "model.safetensors": WEIGHTS });
    mkdirSync(dirname(world.cache), { recursive: true });
    // Also root cannot make a directory below a file.
    writeFileSync(world.cache, "");
    const error = await failureOf(async () => pull(await snapshotOf("owner/model"), QUICK));
    expect(error.code).toBe("ERR_IO");
  });
});
