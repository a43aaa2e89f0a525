/** Writing GGUF files: round trips, fixed bytes, and nothing under the final name unless it is complete. */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { ScoreheadError } from "../../lib/errors.ts";
import { readGguf } from "../../lib/gguf/read.ts";
import type { GgufMetadata, GgufValue } from "../../lib/gguf/types.ts";
import { bool, f32, f32Array, i32Array, str, strArray, u32, u32Array } from "../../lib/gguf/values.ts";
import { type TensorPlan, writeGguf } from "../../lib/gguf/write.ts";
import { replaceFile } from "../../lib/replace-file.ts";
import { refused, temporaryDirectory } from "./support.ts";

const path = temporaryDirectory();

const METADATA: GgufMetadata = new Map<string, GgufValue>([
  ["general.architecture", str("llama")],
  ["u32", u32(4294967295)],
  ["f32", f32(0.5)],
  ["bool", bool(true)],
  ["strings", strArray(["", "▁a", "\u{1f600}"])],
  ["i32s", i32Array(Int32Array.of(-1, 2))],
  ["u32s", u32Array(Uint32Array.of(1, 4294967295))],
  // A view into a larger buffer: only the view's own bytes are written.
  ["f32s", f32Array(new Float32Array([9, 1.5, -0, 9]).subarray(1, 3))],
  ["u8", { type: "u8", value: 255 }],
  ["i8", { type: "i8", value: -128 }],
  ["u16", { type: "u16", value: 65535 }],
  ["i16", { type: "i16", value: -2 }],
  ["i32", { type: "i32", value: -(2 ** 31) }],
  ["u64", { type: "u64", value: 2n ** 64n - 1n }],
  ["i64", { type: "i64", value: -5n }],
  ["f64", { type: "f64", value: 0.1 }],
  ["bools", { type: "array", of: "bool", value: [true, false] }],
  ["u64s", { type: "array", of: "u64", value: BigUint64Array.of(2n ** 63n) }],
]);

const TENSORS: readonly TensorPlan[] = [
  { name: "first", dims: [3, 2], type: "F16" },
  { name: "second", dims: [8], type: "F32" },
  { name: "third", dims: [5], type: "BF16" },
];
const DATA = [Buffer.alloc(12, 1), Buffer.alloc(32, 2), Buffer.alloc(10, 3)];

/** A tensor's bytes in chunks of 7, which fit no tensor. */
async function* chunks(index: number): AsyncGenerator<Uint8Array> {
  const bytes = DATA[index] ?? Buffer.alloc(0);
  for (let at = 0; at < bytes.length; at += 7) yield bytes.subarray(at, at + 7);
}

const files = () => readdirSync(path());

describe("a written file", () => {
  it("reads back as it was given", async () => {
    await writeGguf(path("a.gguf"), METADATA, TENSORS, chunks);
    const file = await readGguf(path("a.gguf"));
    expect([...file.metadata]).toEqual([...METADATA]);
    expect(file).toMatchObject({ version: 3, alignment: 32 });
    expect(file.tensors.map(({ name, dims, typeName }) => ({ name, dims, type: typeName }))).toEqual(TENSORS);
    const bytes = readFileSync(path("a.gguf"));
    for (const [index, { offset, byteLength }] of file.tensors.entries())
      expect(bytes.subarray(offset, offset + byteLength)).toEqual(DATA[index]);
    expect(files()).toEqual(["a.gguf"]);
  });

  it("has the same bytes every time, with zeros between tensors", async () => {
    await writeGguf(path("a.gguf"), METADATA, TENSORS, chunks);
    await writeGguf(path("b.gguf"), METADATA, TENSORS, async function* (index) {
      yield DATA[index] ?? Buffer.alloc(0);
    });
    const bytes = readFileSync(path("a.gguf"));
    expect(readFileSync(path("b.gguf")).equals(bytes)).toBe(true);
    const [first, second] = (await readGguf(path("a.gguf"))).tensors;
    expect(bytes.subarray((first?.offset ?? 0) + 12, second?.offset)).toEqual(Buffer.alloc(20));
    expect(bytes.length % 32).toBe(0);
  });

  it("is exactly these bytes", async () => {
    await writeGguf(
      path("a.gguf"),
      new Map([["k", u32(7)]]),
      [{ name: "t", dims: [2], type: "F16" }],
      async function* () {
        yield Buffer.of(1, 2, 3, 4);
      },
    );
    expect(readFileSync(path("a.gguf")).toString("hex")).toBe(
      "47475546 03000000 0100000000000000 0100000000000000".replaceAll(" ", "") +
        "01000000000000006b 04000000 07000000".replaceAll(" ", "") +
        "010000000000000074 01000000 0200000000000000 01000000 0000000000000000".replaceAll(" ", "") +
        "00".repeat(22) +
        `01020304${"00".repeat(28)}`,
    );
  });

  it("reports progress up to its size", async () => {
    const progress: [number, number][] = [];
    await writeGguf(path("a.gguf"), METADATA, TENSORS, chunks, { onProgress: (...now) => progress.push(now) });
    const size = readFileSync(path("a.gguf")).length;
    expect(progress.at(-1)).toEqual([size, size]);
    expect(progress.map(([written]) => written)).toEqual(
      [...progress.map(([written]) => written)].sort((a, b) => a - b),
    );
  });
});

describe("a failed write leaves the old file and nothing else", () => {
  const write = (data: typeof chunks, options = {}) => {
    writeFileSync(path("a.gguf"), "old");
    return writeGguf(path("a.gguf"), METADATA, TENSORS, data, options);
  };
  const expectOld = () => {
    expect(readFileSync(path("a.gguf"), "utf8")).toBe("old");
    expect(files()).toEqual(["a.gguf"]);
  };

  it("data too short", async () => {
    await refused(
      write(async function* () {}),
      "ERR_INTERNAL",
      "first",
      "0 instead of the 12 bytes",
    );
    expectOld();
  });

  it("data too long", async () => {
    const long = async function* () {
      yield Buffer.alloc(13);
    };
    await refused(write(long), "ERR_INTERNAL", "first", "more than the 12 bytes");
    expectOld();
  });

  it("data that fails", async () => {
    const failing = async function* (index: number) {
      if (index === 1) throw new ScoreheadError("ERR_CHECKPOINT", "cut short");
      yield* chunks(index);
    };
    await refused(write(failing), "ERR_CHECKPOINT", "cut short");
    expectOld();
  });

  it("aborted half-way", async () => {
    const controller = new AbortController();
    const aborting = async function* (index: number) {
      if (index === 1) controller.abort();
      yield* chunks(index);
    };
    await refused(write(aborting, { signal: controller.signal }), "ERR_ABORTED", "a.gguf");
    expectOld();
  });

  it("killed half-way", async () => {
    writeFileSync(path("a.gguf"), "old");
    const writer = fileURLToPath(new URL("killed-writer.ts", import.meta.url));
    const { signal, stderr } = spawnSync(process.execPath, ["--import", "tsx", writer, path("a.gguf")]);
    expect(signal, stderr.toString()).toBe("SIGKILL");
    expect(readFileSync(path("a.gguf"), "utf8")).toBe("old");
    // What is left is the temporary file, under a name that nothing takes for a model.
    expect(files().filter((name) => name !== "a.gguf")).toEqual([
      expect.stringMatching(/^\.a\.gguf\.\d+\.[0-9a-f]+\.tmp$/),
    ]);
  });
});

describe("plans that are no file", () => {
  const refusedPlan = (problem: string, tensors: readonly TensorPlan[], metadata: GgufMetadata = new Map()) =>
    refused(writeGguf(path("a.gguf"), metadata, tensors, chunks), "ERR_INTERNAL", problem);
  const plan = (name: string, dims: number[]): TensorPlan => ({ name, dims, type: "F32" });

  it("two tensors of one name", () => refusedPlan("the tensor a is planned twice", [plan("a", [1]), plan("a", [1])]));
  it("a name of 64 bytes", () => refusedPlan("not 1 to 63 bytes", [plan("a".repeat(64), [1])]));
  it("no dimensions", () => refusedPlan("the dimensions []", [plan("a", [])]));
  it("an empty dimension", () => refusedPlan("the dimensions [2, 0]", [plan("a", [2, 0])]));
  it("an integer out of range", () => refusedPlan("k is 4294967296", [], new Map([["k", u32(2 ** 32)]])));
  it("a fraction as integer", () => refusedPlan("k is 0.5", [], new Map([["k", u32(0.5)]])));
  it("an alignment of the caller's", () =>
    refusedPlan("general.alignment", [], new Map([["general.alignment", u32(64)]])));
});

describe("replaceFile", () => {
  it("gives a temporary name in the same directory and replaces the file", async () => {
    writeFileSync(path("a"), "old");
    let temporary = "";
    await replaceFile(path("a"), async (name) => {
      temporary = name;
      writeFileSync(name, "new");
      expect(readFileSync(path("a"), "utf8")).toBe("old");
    });
    expect(temporary.startsWith(path(`.a.${process.pid}.`))).toBe(true);
    expect(readFileSync(path("a"), "utf8")).toBe("new");
    expect(files()).toEqual(["a"]);
  });

  it("says what to do when the disk is full", async () => {
    const full = Object.assign(new Error("ENOSPC: no space left on device, write"), {
      code: "ENOSPC",
      syscall: "write",
    });
    const failing = replaceFile(path("a"), async (name) => {
      writeFileSync(name, "part");
      throw full;
    });
    await refused(failing, "ERR_IO", path("a"), "no space left", "free some space");
    expect(files()).toEqual([]);
  });

  it("passes on errors that are not about the file", async () => {
    await expect(replaceFile(path("a"), () => Promise.reject(new TypeError("a bug")))).rejects.toThrow(TypeError);
  });

  it("fails where nothing was written", () =>
    refused(
      replaceFile(path("a"), async () => {}),
      "ERR_IO",
      path("a"),
    ));

  it("needs the directory, before any work", async () => {
    let worked = false;
    const work = async () => {
      worked = true;
    };
    await refused(replaceFile(path("none", "a"), work), "ERR_NOT_FOUND", path("none"), "does not exist");
    mkdirSync(path("directory"));
    await refused(replaceFile(path("directory"), work), "ERR_IO", "is a directory");
    expect(worked).toBe(false);
    expect(existsSync(path("none"))).toBe(false);
  });

  it.skipIf(process.platform === "win32")(
    "leaves devices, and links to what a process has open, as they are",
    async () => {
      writeFileSync(path("open"), "output");
      const descriptor = openSync(path("open"), "r+");
      // As /dev/stdout is where it is redirected to a file.
      symlinkSync(`/dev/fd/${descriptor}`, path("stdout"));
      const work = (name: string) => writeFile(name, "x");
      for (const target of ["/dev/null", "/dev/full", path("stdout"), `/dev/fd/${descriptor}`])
        await refused(replaceFile(target, work), "ERR_IO", target, "not a regular file");
      closeSync(descriptor);
      expect(readlinkSync(path("stdout"))).toBe(`/dev/fd/${descriptor}`);
      expect(readFileSync(path("open"), "utf8")).toBe("output");
      expect(statSync("/dev/null").isCharacterDevice()).toBe(true);
    },
  );
});
