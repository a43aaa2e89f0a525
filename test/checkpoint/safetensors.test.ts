/** Safetensors headers: what is read, every malformed one, and tensor bytes as a stream. */
import { truncateSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readRange, readTensor } from "../../lib/checkpoint/read.ts";
import { readSafetensors } from "../../lib/checkpoint/safetensors.ts";
import { damaged, refused, surviveDamage, temporaryDirectory } from "../gguf/support.ts";
import { f32, safetensors } from "./support.ts";

const path = temporaryDirectory();

function read(...parts: Parameters<typeof safetensors>) {
  writeFileSync(path("a.safetensors"), safetensors(...parts));
  return readSafetensors(path("a.safetensors"));
}

const refusedAs = (problem: string, ...parts: Parameters<typeof safetensors>) =>
  refused(read(...parts), "ERR_SAFETENSORS", problem, path("a.safetensors"));

describe("a well-formed file", () => {
  it("gives byte ranges in file order, whatever the header's order", async () => {
    const header = {
      __metadata__: { format: "pt" },
      b: { dtype: "BF16", shape: [2, 3], data_offsets: [8, 20] },
      a: { dtype: "I64", shape: [], data_offsets: [0, 8] },
      none: { dtype: "F32", shape: [0, 4], data_offsets: [20, 20] },
    };
    const start = 8 + JSON.stringify(header).length;
    expect(await read(header, 20)).toEqual([
      { name: "a", dtype: "I64", shape: [], file: path("a.safetensors"), offset: start, byteLength: 8 },
      { name: "b", dtype: "BF16", shape: [2, 3], file: path("a.safetensors"), offset: start + 8, byteLength: 12 },
      { name: "none", dtype: "F32", shape: [0, 4], file: path("a.safetensors"), offset: start + 20, byteLength: 0 },
    ]);
  });

  it("may have braces, quotes and one key at several levels inside its names", async () => {
    const names = ['a"{', "}", "dtype", "\\", "\\\\"];
    const header = Object.fromEntries(names.map((name, i) => [name, f32(i * 4, i * 4 + 4)]));
    expect((await read(header, 20)).map(({ name }) => name)).toEqual(names);
  });
});

describe("a header that is refused", () => {
  it("length beyond the file", () => refusedAs("header length 1000 reaches beyond the file's 10 bytes", "{}", 0, 1000));
  it("length of 2^64-1", () => refusedAs("reaches beyond the file", "{}", 0, 2n ** 64n - 1n));
  it("length above the format's limit", async () => {
    writeFileSync(path("a.safetensors"), safetensors("{}", 0, 150_000_000));
    truncateSync(path("a.safetensors"), 150_000_008);
    await refused(readSafetensors(path("a.safetensors")), "ERR_SAFETENSORS", "above the format's limit of 100000000");
  });
  it("file shorter than the length", async () => {
    writeFileSync(path("a.safetensors"), "{}");
    await refused(readSafetensors(path("a.safetensors")), "ERR_SAFETENSORS", "it has only 2 bytes");
  });
  it("not JSON", () => refusedAs("it is not JSON", "{"));
  it("not UTF-8", () => refusedAs("it is not JSON", Buffer.from([0x7b, 0xff, 0x7d]).toString("latin1"), 0, 3));
  it("not an object", () => refusedAs("not an object", "[]"));
  it("a tensor listed twice", () => {
    const entry = JSON.stringify(f32(0, 4));
    return refusedAs("it lists a twice", `{"a":${entry},"\\u0061":${entry}}`, 4);
  });
  it.each([
    ['{"a":', "}"],
    ["[", "]"],
  ])("%s without end", (begin, end) =>
    refusedAs("it nests more than 64 deep", `{"a":{"shape":${begin.repeat(100_000)}0${end.repeat(100_000)}}}`),
  );
  it("a Git LFS pointer", async () => {
    writeFileSync(path("a.safetensors"), "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    await refused(readSafetensors(path("a.safetensors")), "ERR_CHECKPOINT", "git lfs pull");
  });
  it("a file that is not there", () => refused(readSafetensors(path("none")), "ERR_NOT_FOUND", path("none")));
});

describe("a tensor that is refused", () => {
  it("truncated data", () => refusedAs("b ends at byte", { a: f32(0, 8), b: f32(8, 16) }, 15));
  it("out of range", () =>
    refusedAs("there is a hole of 996 bytes between a and b", { a: f32(0, 4), b: f32(1000, 1004) }, 8));
  it("overlapping", () => refusedAs("b at offset 4 overlaps a, which ends at 8", { a: f32(0, 8), b: f32(4, 12) }, 12));
  it("a hole", () => refusedAs("a hole of 4 bytes between a and b", { a: f32(0, 4), b: f32(8, 12) }, 12));
  it("a hole before the first", () => refusedAs("a hole of 4 bytes between the header and a", { a: f32(4, 8) }, 8));
  it("bytes left over", () => refusedAs("3 bytes after a belong to no tensor", { a: f32(0, 4) }, 7));
  it("offsets backwards", () =>
    refusedAs("a has -4 bytes", { a: { dtype: "F32", shape: [1], data_offsets: [4, 0] } }, 4));
  it("length not its shape's", () =>
    refusedAs("a has 8 bytes at 0..8, but F32 [3] takes 12", { a: { ...f32(0, 8), shape: [3] } }, 8));
  it.each([["F8_E4M3"], ["toString"], [7], [undefined]])("dtype %s", (dtype) =>
    refusedAs("a has the unknown dtype", { a: { ...f32(0, 4), dtype } }, 4),
  );
  it.each([[[-1]], [[1.5]], [["1"]], [null], [[2 ** 60]]])("shape %j", (shape) =>
    refusedAs("a has the malformed shape", { a: { ...f32(0, 4), shape } }, 4),
  );
  it("a shape whose product overflows", () =>
    refusedAs("a has 4 bytes at 0..4, but F32", { a: { ...f32(0, 4), shape: [2 ** 40, 2 ** 40] } }, 4));
  it.each([[[0]], [[0, 4, 4]], [[0, "4"]], [undefined]])("offsets %j", (offsets) =>
    refusedAs("a has the malformed data_offsets", { a: { ...f32(0, 4), data_offsets: offsets } }, 4),
  );
  it("no object", () => refusedAs("the entry of a is not an object", { a: 1 }));
});

describe("a tensor's bytes", () => {
  const content = Buffer.from(Array.from({ length: 40 }, (_, i) => i));
  const open = async () => {
    const [first, second] = await read({ a: f32(0, 8), b: f32(8, 40) }, content);
    if (first === undefined || second === undefined) throw new Error("two tensors were written");
    return second;
  };

  it("come in chunks of the size asked for, each its own", async () => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of readTensor(await open(), { chunkBytes: 24 })) chunks.push(chunk);
    expect(chunks.map((chunk) => chunk.length)).toEqual([24, 8]);
    expect(Buffer.concat(chunks)).toEqual(content.subarray(8));
  });

  it("can be read as a range", async () => {
    expect(Buffer.from(await readRange(await open(), 4, 8))).toEqual(content.subarray(12, 20));
  });

  it("are never asked for outside the tensor", async () => {
    const tensor = await open();
    await refused(readRange(tensor, 28, 8), "ERR_INTERNAL", "Bytes 28..36 of b");
    await refused(readRange(tensor, -4, 4), "ERR_INTERNAL", "Bytes -4..0 of b");
    await refused(readTensor(tensor, { chunkBytes: 12 }).next(), "ERR_INTERNAL", "not a multiple of 8");
  });

  it("are an error, not zeros, where the file was cut after it was opened", async () => {
    const tensor = await open();
    truncateSync(tensor.file, tensor.offset + 20);
    const chunks = readTensor(tensor, { chunkBytes: 16 });
    await expect(chunks.next()).resolves.toMatchObject({ done: false });
    await refused(chunks.next(), "ERR_CHECKPOINT", tensor.file, "changed since it was opened");
  });
});

it("survives damaged files", async () => {
  const valid = safetensors({ __metadata__: { format: "pt" }, a: f32(0, 8), "b.weight": f32(8, 40) }, 40);
  const refusals = await surviveDamage(path("a.safetensors"), damaged(valid, 2, 600), readSafetensors);
  expect(refusals).toBeGreaterThan(200);
  expect(refusals).toBeLessThan(600);
});
