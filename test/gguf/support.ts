/** Shared by the file tests: a directory a test, refused promises, and a builder of GGUF bytes that can also be wrong. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect } from "vitest";
import { type ErrorCode, ScoreheadError } from "../../lib/errors.ts";
import { Random } from "../fixtures/random.ts";

/** An empty directory for each test; the returned function makes paths in it. */
export function temporaryDirectory(): (...names: string[]) => string {
  let directory = "";
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "scorehead-test-"));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));
  return (...names) => join(directory, ...names);
}

/** Passes where `promise` rejects with a ScoreheadError of `code` whose message contains every one of `parts`. */
export async function refused(promise: Promise<unknown>, code: ErrorCode, ...parts: string[]): Promise<void> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ScoreheadError);
  expect(error).toMatchObject({ code });
  for (const part of parts) expect((error as ScoreheadError).message).toContain(part);
}

export const u8 = (value: number): Buffer => Buffer.of(value);

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

export const text = (value: string | Buffer): Buffer =>
  Buffer.concat([u64(Buffer.from(value).length), Buffer.from(value)]);

/** A metadata entry: key, value type, and the value's bytes. */
export const entry = (key: string | Buffer, type: number, ...value: Buffer[]): Buffer =>
  Buffer.concat([text(key), u32(type), ...value]);

/** A tensor description with the fields as they are in the file. */
export function tensor(
  name: string,
  dims: readonly (number | bigint)[],
  type: number,
  offset: number | bigint,
): Buffer {
  return Buffer.concat([text(name), u32(dims.length), ...dims.map(u64), u32(type), u64(offset)]);
}

export interface RawGguf {
  readonly magic?: Buffer;
  readonly version?: Buffer;
  readonly tensorCount?: number | bigint;
  readonly keyCount?: number | bigint;
  readonly entries?: readonly Buffer[];
  readonly tensors?: readonly Buffer[];
  readonly alignment?: number;
  readonly data?: Buffer;
}

/** A GGUF file from its parts; counts default to what is there. */
export function rawGguf({ entries = [], tensors = [], alignment = 32, ...parts }: RawGguf): Buffer {
  const header = Buffer.concat([
    parts.magic ?? Buffer.from("GGUF"),
    parts.version ?? u32(3),
    u64(parts.tensorCount ?? tensors.length),
    u64(parts.keyCount ?? entries.length),
    ...entries,
    ...tensors,
  ]);
  const padding = Buffer.alloc((alignment - (header.length % alignment)) % alignment);
  return Buffer.concat([header, padding, parts.data ?? Buffer.alloc(0)]);
}

/** `count` damaged copies of `bytes`: cut short, or with one to four bytes changed. The same ones every time. */
export function* damaged(bytes: Buffer, seed: number, count: number): Generator<Buffer> {
  const random = new Random(seed, "damage");
  for (let i = 0; i < count; i++) {
    if (i % 4 === 0) {
      yield bytes.subarray(0, random.next() % bytes.length);
      continue;
    }
    const copy = Buffer.from(bytes);
    for (let changes = 1 + (random.next() % 4); changes > 0; changes--) {
      const at = random.next() % copy.length;
      // Extreme bytes make large counts and offsets, which random ones rarely do.
      copy[at] = [0xff, 0x7f, 0x80, 0, random.next() & 0xff][random.next() % 5] ?? 0;
    }
    yield copy;
  }
}

/** Reads each damaged file; it must be read or refused with a ScoreheadError. Returns how many were refused. */
export async function surviveDamage(
  path: string,
  files: Iterable<Buffer>,
  read: (path: string) => Promise<unknown>,
): Promise<number> {
  let refusals = 0;
  for (const bytes of files) {
    writeFileSync(path, bytes);
    const reason = await read(path).then(
      () => null,
      (error: unknown) => error,
    );
    if (reason === null) continue;
    if (!(reason instanceof ScoreheadError))
      throw new Error(`not a ScoreheadError for ${bytes.toString("hex")}`, { cause: reason });
    expect(reason.code).not.toBe("ERR_INTERNAL");
    refusals++;
  }
  return refusals;
}
