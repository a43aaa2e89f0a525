/** Reading GGUF headers: what is read, and every way in which a file is refused. */
import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readGguf } from "../../lib/gguf/read.ts";
import { entry, type RawGguf, rawGguf, refused, temporaryDirectory, tensor, text, u8, u32, u64 } from "./support.ts";

const path = temporaryDirectory();
const TOKENS = "tokenizer.ggml.tokens";

function read(parts: RawGguf) {
  const file = path("model.gguf");
  writeFileSync(file, rawGguf(parts));
  return readGguf(file);
}

const refusedAs = (problem: string, parts: RawGguf) => refused(read(parts), "ERR_GGUF", problem, path("model.gguf"));

describe("a well-formed file", () => {
  it("gives every value type", async () => {
    const f64 = Buffer.alloc(8);
    f64.writeDoubleLE(0.1);
    const { metadata } = await read({
      entries: [
        entry("u8", 0, u8(255)),
        entry("i8", 1, u8(255)),
        entry("u16", 2, Buffer.of(0xff, 0xff)),
        entry("i16", 3, Buffer.of(0xfe, 0xff)),
        entry("u32", 4, u32(4294967295)),
        entry("i32", 5, u32(4294967295)),
        entry("f32", 6, Buffer.of(0, 0, 0xc0, 0x3f)),
        entry("bool", 7, u8(1)),
        entry("string", 8, text("▁naïve \u{1f600} \ufffd")),
        entry("u64", 10, u64(2n ** 64n - 1n)),
        entry("i64", 11, u64(2n ** 64n - 1n)),
        entry("f64", 12, f64),
        entry("i32s", 9, u32(5), u64(2), u32(1), u32(4294967295)),
        entry("bools", 9, u32(7), u64(2), u8(0), u8(1)),
        entry("strings", 9, u32(8), u64(2), text(""), text("b")),
        entry("i64s", 9, u32(11), u64(1), u64(2n ** 64n - 3n)),
        entry("none", 9, u32(6), u64(0)),
      ],
    });
    expect(Object.fromEntries([...metadata].map(([key, { value }]) => [key, value]))).toEqual({
      u8: 255,
      i8: -1,
      u16: 65535,
      i16: -2,
      u32: 4294967295,
      i32: -1,
      f32: 1.5,
      bool: true,
      string: "▁naïve \u{1f600} \ufffd",
      u64: 2n ** 64n - 1n,
      i64: -1n,
      f64: 0.1,
      i32s: Int32Array.of(1, -1),
      bools: [false, true],
      strings: ["", "b"],
      i64s: BigInt64Array.of(-3n),
      none: new Float32Array(),
    });
    expect([...metadata.keys()].slice(0, 2)).toEqual(["u8", "i8"]);
  });

  it("gives tensors with absolute offsets, sizes by type and the padding of a file's own alignment", async () => {
    const file = await read({
      version: u32(2),
      entries: [entry("general.alignment", 4, u32(64))],
      tensors: [tensor("a", [3, 2], 0, 0), tensor("b", [64], 8, 64)],
      alignment: 64,
      data: Buffer.alloc(64 + 68),
    });
    expect(file).toMatchObject({ version: 2, alignment: 64, path: path("model.gguf"), size: 256 + 68 });
    expect(file.tensors).toEqual([
      { name: "a", dims: [3, 2], type: 0, typeName: "F32", offset: 192, byteLength: 24 },
      { name: "b", dims: [64], type: 8, typeName: "Q8_0", offset: 256, byteLength: 68 },
    ]);
  });

  it("crosses the read buffer within strings and arrays", async () => {
    const strings = Array.from({ length: 3000 }, (_, i) => `${i}`.repeat(200));
    const numbers = Buffer.alloc(3_000_000, 7);
    const { metadata } = await read({
      entries: [
        entry("strings", 9, u32(8), u64(strings.length), ...strings.map(text)),
        entry("numbers", 9, u32(0), u64(numbers.length), numbers),
        entry("end", 8, text("end")),
      ],
    });
    expect(metadata.get("strings")?.value).toEqual(strings);
    expect(numbers.equals(metadata.get("numbers")?.value as Uint8Array)).toBe(true);
    expect(metadata.get("end")?.value).toBe("end");
  });
});

describe("the file as a whole", () => {
  it("does not exist", () => refused(readGguf(path("none.gguf")), "ERR_NOT_FOUND", "none.gguf"));

  it("is a directory", async () => {
    mkdirSync(path("directory"));
    await refused(readGguf(path("directory")), "ERR_IO", "directory");
  });

  it("is empty", async () => {
    writeFileSync(path("empty.gguf"), "");
    await refused(readGguf(path("empty.gguf")), "ERR_GGUF", "the magic number needs 4 bytes");
  });

  it("has another magic number", () => refusedAs('it starts with "GGML"', { magic: Buffer.from("GGML") }));
  it("is a Git LFS pointer", () => refusedAs("git lfs pull", { magic: Buffer.from("version https://git-lfs") }));
  it("is big-endian", () => refusedAs("byte-swapped", { version: Buffer.of(0, 0, 0, 3) }));
  it("has version 1", () => refusedAs("it has version 1,", { version: u32(1) }));
  it("has version 4", () => refusedAs("it has version 4,", { version: u32(4) }));
  it("says how to get a good one", () => refusedAs("Download or convert it again.", { version: u32(0) }));
});

describe("absurd counts fail at once", () => {
  it.each([2n ** 63n, 2n ** 64n - 1n, 2n ** 40n, 70_000n])("%d metadata keys", (keyCount) =>
    refusedAs("metadata keys, more than 65536", { keyCount }),
  );

  it.each([2n ** 63n, 2n ** 64n - 1n, 2n ** 40n, 70_000n])("%d tensors", (tensorCount) =>
    refusedAs("tensors, more than 65536", { tensorCount }),
  );

  it("more keys than the file has room for", () => refusedAs("the metadata needs 560 bytes", { keyCount: 40 }));
  it("more tensors than the file has room for", () => refusedAs("the tensor list needs 1320", { tensorCount: 40 }));

  it.each([2n ** 64n - 1n, 2n ** 33n])("an array of %d numbers", (length) =>
    refusedAs("the value of numbers needs", { entries: [entry("numbers", 9, u32(6), u64(length), u32(0))] }),
  );

  it.each([2n ** 64n - 1n, 2n ** 33n])("an array of %d strings", (length) =>
    refusedAs("strings, more than 4194304", { entries: [entry("strings", 9, u32(8), u64(length), u64(0))] }),
  );

  it("an array of more strings than the file has room for", () =>
    refusedAs("the value of strings needs 8000 bytes", {
      entries: [entry("strings", 9, u32(8), u64(1000), u64(0))],
    }));

  it.each([2n ** 64n - 1n, 2n ** 31n])("a string of %d bytes", (length) =>
    refusedAs("bytes long, more than the 16777216 allowed", { entries: [entry("s", 8, u64(length))] }),
  );

  it("a string longer than the file", () =>
    refusedAs("the value of s needs 1008 bytes", { entries: [entry("s", 8, u64(1000))] }));

  it("a header beyond 512 MiB, although the file is that large", async () => {
    const file = path("large.gguf");
    const handle = openSync(file, "w");
    writeSync(handle, rawGguf({ entries: [entry("numbers", 9, u32(0), u64(600 * 2 ** 20))], alignment: 1 }));
    ftruncateSync(handle, 700 * 2 ** 20);
    closeSync(handle);
    await refused(readGguf(file), "ERR_GGUF", "the value of numbers would take the header beyond 536870912 bytes");
  });
});

describe("metadata", () => {
  it("has an unknown type", () => refusedAs("the value of a has type 13", { entries: [entry("a", 13, u32(0))] }));
  it("has an unknown element type", () =>
    refusedAs("the value of a has type 99", { entries: [entry("a", 9, u32(99), u64(0))] }));
  it("nests arrays", () =>
    refusedAs("the value of a is an array of arrays", { entries: [entry("a", 9, u32(9), u64(1), u32(4), u64(0))] }));
  it("has a key twice", () =>
    refusedAs("the key a appears twice", { entries: [entry("a", 7, u8(0)), entry("a", 7, u8(0))] }));
  it("has an empty key", () => refusedAs('metadata key 0 is ""', { entries: [entry("", 7, u8(0))] }));
  it("has a key with a zero byte", () => refusedAs("is not a name", { entries: [entry("a\u0000b", 7, u8(0))] }));
  it("has a key that is not UTF-8", () =>
    refusedAs("metadata key 0 is not UTF-8", { entries: [entry(Buffer.of(0xff), 7, u8(0))] }));
  it("has a string that is not UTF-8", () =>
    refusedAs("the value of a is not UTF-8", { entries: [entry("a", 8, text(Buffer.of(0x41, 0xc3)))] }));
  it("has a boolean of 2", () => refusedAs("a boolean stored as 2", { entries: [entry("a", 7, u8(2))] }));
  it("has a token twice, on which llama.cpp aborts", () =>
    refusedAs('the token "x" has two ids, 0 and 2', {
      entries: [entry(TOKENS, 9, u32(8), u64(3), text("x"), text("y"), text("x"))],
    }));
  it("has two tokens that are one to llama.cpp, which reads up to a NUL", () =>
    refusedAs('the token "x" has two ids, 0 and 1', {
      entries: [entry(TOKENS, 9, u32(8), u64(2), text("x"), text("x\0y"))],
    }));
  it("may have several empty tokens, which llama.cpp renames", () =>
    expect(read({ entries: [entry(TOKENS, 9, u32(8), u64(2), text(""), text(""))] })).resolves.toBeDefined());
});

describe("alignment", () => {
  it.each([0, 3, 48, 131072, 2 ** 31])("is %d", (value) =>
    refusedAs(`general.alignment is ${value}`, { entries: [entry("general.alignment", 4, u32(value))] }),
  );
  it("has another type", () =>
    refusedAs("general.alignment has type u64", { entries: [entry("general.alignment", 10, u64(32))] }));
});

describe("tensors", () => {
  const data = Buffer.alloc(64);
  const refusedTensor = (problem: string, ...tensors: Buffer[]) => refusedAs(problem, { tensors, data });

  it("have no dimensions", () => refusedTensor("t has 0 dimensions", tensor("t", [], 0, 0)));
  it("have five dimensions", () => refusedTensor("t has 5 dimensions", tensor("t", [1, 1, 1, 1, 1], 0, 0)));
  it("have 2^32-1 dimensions", () =>
    refusedTensor("t has 4294967295 dimensions", Buffer.concat([text("t"), u32(2 ** 32 - 1), Buffer.alloc(40)])));
  it("have a zero dimension", () => refusedTensor("t has an empty dimension in [4, 0]", tensor("t", [4, 0], 0, 0)));
  it("have dimensions whose product overflows", () =>
    refusedTensor("t has absurd dimensions", tensor("t", [2 ** 32, 2 ** 32], 0, 0)));
  it("have dimensions whose product wraps to something small", () =>
    refusedTensor("t has absurd dimensions", tensor("t", [2n ** 63n, 2], 0, 0)));
  it("have a negative dimension", () => refusedTensor("t has absurd dimensions", tensor("t", [2n ** 64n - 1n], 0, 0)));
  it.each([4, 31, 43, 2 ** 31])("have type %d", (type) =>
    refusedTensor(`t has tensor type ${type}`, tensor("t", [4], type, 0)),
  );
  it("have rows that are not whole blocks", () =>
    refusedTensor("t has rows of 33, not a multiple of Q8_0's block of 32", tensor("t", [33], 8, 0)));
  it("have a name of 64 bytes", () =>
    refusedTensor("64 bytes long, more than the 63 allowed", tensor("t".repeat(64), [4], 0, 0)));
  it("have the same name", () =>
    refusedTensor("the tensor t appears twice", tensor("t", [4], 0, 0), tensor("t", [4], 0, 32)));
  it("have an offset beyond the file", () =>
    refusedTensor("t has offset 1099511627776, expected 0", tensor("t", [4], 0, 2 ** 40)));
  it("have an offset that is not aligned", () =>
    refusedTensor(
      "b has offset 36, not a multiple of the alignment 32",
      tensor("a", [4], 0, 0),
      tensor("b", [4], 0, 36),
    ));
  it("overlap", () =>
    refusedTensor("b has offset 0 and overlaps a, which ends at 32", tensor("a", [4], 0, 0), tensor("b", [4], 0, 0)));
  it("leave a hole", () =>
    refusedTensor("b has offset 64, expected 32 right after a", tensor("a", [4], 0, 0), tensor("b", [4], 0, 64)));
  it("end beyond the file", () => refusedTensor("a ends at byte", tensor("a", [17], 0, 0)));
  it("may end exactly where the file ends", () =>
    expect(read({ tensors: [tensor("a", [16], 0, 0)], data })).resolves.toBeDefined());
});
