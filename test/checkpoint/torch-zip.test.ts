/** Torch zip files: what is read, archives that lie, and pickles that ask for more than tensors. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readTensor } from "../../lib/checkpoint/read.ts";
import { readTorchZip } from "../../lib/checkpoint/torch-zip.ts";
import type { ErrorCode } from "../../lib/errors.ts";
import { PickleWriter } from "../fixtures/pickle.ts";
import { writeZip } from "../fixtures/zip.ts";
import { damaged, refused, surviveDamage, temporaryDirectory } from "../gguf/support.ts";
import { pickleState, pickleTensor, type RawEntry, STORAGE, torchEntries, zip } from "./support.ts";

const path = temporaryDirectory();

function read(bytes: Buffer) {
  writeFileSync(path("m.pt"), bytes);
  return readTorchZip(path("m.pt"));
}

const refusedAs = (bytes: Buffer, code: ErrorCode, ...parts: string[]) =>
  refused(read(bytes), code, ...parts, path("m.pt"));
const PICKLE = pickleState({ w: {} });

describe("a state dict", () => {
  it("becomes byte ranges", async () => {
    const tensors = await read(zip(torchEntries(PICKLE)));
    const offset = readFileSync(path("m.pt")).indexOf(STORAGE);
    expect(tensors).toEqual([{ name: "w", dtype: "F16", shape: [2, 2], file: path("m.pt"), offset, byteLength: 8 }]);
    for await (const chunk of readTensor(tensors[0] as (typeof tensors)[0])) expect(chunk).toEqual(STORAGE);
  });

  it("keeps aliases of one storage under both names, and honours storage offsets", async () => {
    const tensors = await read(
      zip(torchEntries(pickleState({ a: {}, b: {}, tail: { offset: 1, shape: [3], strides: [1] } }))),
    );
    const offset = readFileSync(path("m.pt")).indexOf(STORAGE);
    expect(tensors.map(({ name, offset, byteLength }) => [name, offset, byteLength])).toEqual([
      ["a", offset, 8],
      ["b", offset, 8],
      ["tail", offset + 2, 6],
    ]);
  });

  it.each([
    ["DoubleStorage", "F64", 8],
    ["FloatStorage", "F32", 4],
    ["BFloat16Storage", "BF16", 2],
    ["LongStorage", "I64", 8],
    ["IntStorage", "I32", 4],
    ["ShortStorage", "I16", 2],
    ["CharStorage", "I8", 1],
    ["ByteStorage", "U8", 1],
    ["BoolStorage", "BOOL", 1],
  ])("knows torch.%s", async (storage, dtype, bytes) => {
    const content = Buffer.alloc(4 * bytes);
    const [tensor] = await read(zip(torchEntries(pickleState({ w: { storage } }), { name: "m/data/0", content })));
    expect(tensor).toMatchObject({ dtype, byteLength: content.length });
  });

  it("may have scalars, empty tensors, and axes of one element with any stride", async () => {
    const tensors = await read(
      zip(
        torchEntries(
          pickleState({
            scalar: { shape: [], strides: [] },
            empty: { shape: [0, 7], strides: [9, 9] },
            column: { shape: [4, 1], strides: [1, 77] },
          }),
        ),
      ),
    );
    expect(tensors.map(({ byteLength }) => byteLength)).toEqual([2, 0, 8]);
  });

  it("may be a plain dict, nested as trainers nest it, with parameters and attributes", async () => {
    const pickle = new PickleWriter().dict().setItems(() => {});
    pickle.setItem(() => pickle.string("epoch").integer(3));
    pickle.setItem(() => {
      pickle.string("state_dict").orderedDict();
      pickle.setItem(() => {
        pickle.string("w").global("torch._utils", "_rebuild_parameter");
        pickle.tuple(3, () => pickleTensor(pickle).false().orderedDict()).call();
      });
      pickle.dict().setItem(() => pickle.string("_metadata").orderedDict());
      pickle.build();
    });
    expect(await read(zip(torchEntries(pickle.finish())))).toMatchObject([{ name: "w", shape: [2, 2] }]);
  });

  it("can be pickled with protocol 4", async () => {
    const short = (text: string) => `\x8c${String.fromCharCode(text.length)}${text}\x94`;
    const global = (module: string, name: string) => `${short(module)}${short(name)}\x93\x94`;
    const body =
      `}\x94${short("w")}${global("torch._utils", "_rebuild_tensor_v2")}((` +
      `${short("storage")}${global("torch", "HalfStorage")}${short("0")}${short("cpu")}K\x04t\x94Q` +
      `K\x00K\x02K\x02\x86\x94K\x02K\x01\x86\x94\x89${global("collections", "OrderedDict")})R\x94t\x94R\x94s.`;
    const frame = Buffer.alloc(9, 0x95);
    frame.writeBigUInt64LE(BigInt(body.length), 1);
    const pickle = Buffer.concat([Buffer.from("\x80\x04", "latin1"), frame, Buffer.from(body, "latin1")]);
    expect(await read(zip(torchEntries(pickle)))).toMatchObject([{ name: "w", dtype: "F16", shape: [2, 2] }]);
  });

  it("may have its sizes behind the data, as torch writes them, or in ZIP64 fields", async () => {
    writeZip(
      path("t.pt"),
      torchEntries(PICKLE).map(({ name, content }) => ({ name, chunks: () => [content] })),
    );
    const [padded] = await readTorchZip(path("t.pt"));
    expect(padded?.offset).toBe(readFileSync(path("t.pt")).indexOf(STORAGE));
    const wide = torchEntries(PICKLE).map((entry) => ({ ...entry, zip64: true }));
    const [tensor] = await read(zip(wide));
    expect(tensor?.offset).toBe(readFileSync(path("m.pt")).indexOf(STORAGE));
  });
});

describe("an archive that is refused", () => {
  const refusedZip = (problem: string, ...entries: RawEntry[]) =>
    refusedAs(zip(torchEntries(PICKLE, ...entries)), "ERR_ZIP", problem);
  const data = { name: "m/data/0", content: STORAGE };

  it("no zip at all", () => refusedAs(Buffer.from("hello"), "ERR_ZIP", "does not start like a zip archive"));
  it("empty", () => refusedAs(Buffer.alloc(0), "ERR_ZIP", "does not start like a zip archive"));
  it("cut short", () => refusedAs(zip(torchEntries(PICKLE)).subarray(0, -30), "ERR_ZIP", "m.pt"));
  it("the form before torch 1.6", () =>
    refusedAs(Buffer.from("\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "latin1"), "ERR_UNSUPPORTED", "torch >= 1.6"));
  it("a Git LFS pointer", () =>
    refusedAs(Buffer.from("version https://git-lfs.github.com/spec/v1\n"), "ERR_CHECKPOINT", "git lfs pull"));
  it("big-endian", () =>
    refusedAs(
      zip(torchEntries(PICKLE, { name: "m/byteorder", content: Buffer.from("big") })),
      "ERR_UNSUPPORTED",
      '"big"',
    ));

  it("a size beyond the file", () => refusedZip("file data overflows", { ...data, size: 10_000, localSize: 10_000 }));
  it("a size that reaches into the directory", () =>
    refusedZip("m/data/0 claims 9 bytes and overlaps the zip directory", { ...data, size: 9, localSize: 9 }));
  it("a size that reaches into the next entry", () =>
    refusedZip(
      "m/data/0 claims 9 bytes and overlaps m/end",
      { ...data, size: 9, localSize: 9 },
      { name: "m/end", content: STORAGE },
    ));
  it("a size that only the directory gives", () =>
    refusedZip("m/data/0 has 6 bytes by the directory, but 8 by its local header", { ...data, size: 6 }));
  it("a size that only the local header gives", () =>
    refusedZip("m/data/0 has 8 bytes by the directory, but 4 by its local header", { ...data, localSize: 4 }));
  it("a size that both headers give, but not the pickle", () =>
    refusedZip("data/0 has 6 bytes, but its 4 elements of F16 take 8", { ...data, size: 6, localSize: 6 }));
  it("a size behind the data that the pickle does not give", () =>
    refusedZip("data/0 has 6 bytes, but its 4 elements", { ...data, size: 6, localSize: 0, flags: 8 }));
  it("a stored entry of two sizes", () => refusedZip("m/data/0 claims 3 bytes", { ...data, compressedSize: 3 }));
  it("a ZIP64 size beyond the file", () =>
    refusedZip("file data overflows", { ...data, size: 2 ** 40, localSize: 2 ** 40, zip64: true }));
  it("a local header outside the file", () => refusedZip("an offset points to byte", { ...data, offset: 2 ** 31 }));
  it("a ZIP64 local header outside the file", () =>
    refusedZip("an offset points to byte", { ...data, offset: 2 ** 52, zip64: true }));
  it("a local header that is none", () => refusedZip("invalid local file header signature", { ...data, offset: 7 }));
  it("two entries at one place", () => {
    const entries = torchEntries(PICKLE);
    const offset = zip(entries).indexOf(STORAGE) - 30 - data.name.length;
    return refusedAs(
      zip([...entries, { ...data, offset }]),
      "ERR_ZIP",
      "m/data/0 claims 8 bytes and overlaps m/data/0",
    );
  });
  it("a compressed entry", () => refusedZip("m/data/0 is compressed (method 8)", { ...data, method: 8 }));
  it("an entry that only its local header compresses", () =>
    refusedZip("m/data/0 is compressed or encrypted by its local header", { ...data, localMethod: 8 }));
  it("an encrypted entry", () => refusedZip("m/data/0 is encrypted", { ...data, flags: 1 }));
  it("an entry of two names", () => refusedZip("m/data/0 has another name", { ...data, localName: "m/data/1" }));
  it("two entries of one name", () =>
    refusedAs(zip([...torchEntries(PICKLE), data]), "ERR_ZIP", "it has two entries named m/data/0"));
  it("two pickles", () => refusedZip("several entries data.pkl", { name: "n/data.pkl", content: PICKLE }));
  it("no pickle", () => refusedAs(zip([data]), "ERR_ZIP", "no entry data.pkl"));
  it("a pickle that is too large", () =>
    refusedZip("data.pkl has 16777217 bytes, more than 16777216", {
      name: "m/data.pkl",
      content: Buffer.alloc(2 ** 24 + 1),
    }));
  it("more entries than it has", () => refusedAs(zip(torchEntries(PICKLE), 500), "ERR_ZIP", "m.pt"));

  it("a ZIP64 end record at an absurd offset", async () => {
    const entries = torchEntries(PICKLE).map(({ name, content }) => ({ name, chunks: () => [content] }));
    writeZip(path("m.pt"), entries);
    const bytes = readFileSync(path("m.pt"));
    bytes.fill(0xff, bytes.length - 22 - 12, bytes.length - 22 - 4);
    await refusedAs(bytes, "ERR_ZIP", "an offset points to byte");
  });

  it("an absurd number of entries", async () => {
    const entries = torchEntries(PICKLE).map(({ name, content }) => ({ name, chunks: () => [content] }));
    writeZip(path("m.pt"), entries);
    const bytes = readFileSync(path("m.pt"));
    bytes.writeBigUInt64LE(2n ** 50n, bytes.length - 98 + 32);
    await refusedAs(bytes, "ERR_ZIP", "it claims 1125899906842624 entries");
  });
});

describe("a tensor that is refused", () => {
  const refusedTensor = (problem: string, tensor: Parameters<typeof pickleTensor>[1]) =>
    refusedAs(zip(torchEntries(pickleState({ w: tensor ?? {} }))), "ERR_TENSOR", "w in", problem);

  it("transposed", () => refusedTensor("strides [1, 2], which are not contiguous", { strides: [1, 2] }));
  it("expanded", () => refusedTensor("strides [0, 1], which are not contiguous", { strides: [0, 1] }));
  it("beyond its storage", () => refusedTensor("elements 1..5 of a storage of 4", { offset: 1 }));
  it("far beyond its storage", () => refusedTensor("of a storage of 4", { shape: [2 ** 31, 2], strides: [2, 1] }));
  it("without its storage", () => refusedTensor("needs the entry data/7", { key: "7" }));
  it("outside the archive", () => refusedTensor("needs the entry data/../../x", { key: "../../x" }));
  it("no tensor", () => {
    const pickle = new PickleWriter().dict().setItems(() => {});
    pickle.setItem(() => pickleTensor(pickle.string("w")));
    pickle.setItem(() => pickle.string("n").integer(1));
    return refusedAs(zip(torchEntries(pickle.finish())), "ERR_TENSOR", "n in", "is not a tensor");
  });
});

describe("a pickle that is refused", () => {
  const refusedPickle = (problem: string, pickle: Buffer | string) =>
    refusedAs(
      zip(torchEntries(typeof pickle === "string" ? Buffer.from(`\x80\x02${pickle}`, "latin1") : pickle)),
      "ERR_PICKLE",
      problem,
    );

  it.each([
    ["os", "system"],
    ["posix", "system"],
    ["builtins", "eval"],
    ["torch", "load"],
    ["torch", "ComplexFloatStorage"],
    ["numpy.core.multiarray", "_reconstruct"],
  ])("calls %s.%s, and nothing runs", async (module, name) => {
    const pickle = new PickleWriter().global(module, name);
    pickle.tuple(1, () => pickle.string(`touch ${path("ran")}`)).call();
    await refusedPickle(`it asks for ${module}.${name}, which is not on the allow-list`, pickle.finish());
    expect(existsSync(path("ran"))).toBe(false);
  });

  it("calls os.system by STACK_GLOBAL", () =>
    refusedPickle("os.system", "\x8c\x02os\x8c\x06system\x93X\x01\0\0\0a\x85R."));
  it.each([
    ["INST", "(ios\nsystem\n.", "0x69"],
    ["OBJ", "(o.", "0x6f"],
    ["NEWOBJ", "))\x81.", "0x81"],
    ["EXT1", "\x82\x01.", "0x82"],
    ["LONG4", "\x8b\xff\xff\xff\x7f", "0x8b"],
  ])("uses %s", (_name, opcodes, code) => refusedPickle(`opcode ${code}`, opcodes));
  it("calls a storage class", () => refusedPickle("it calls a storage class", "ctorch\nHalfStorage\n)R."));
  it("calls OrderedDict with arguments", () =>
    refusedPickle("OrderedDict with arguments", "ccollections\nOrderedDict\n)\x85R."));
  it("calls a number", () => refusedPickle("not a callable", "K\x01)R."));
  it("builds a dict", () => refusedPickle("not an OrderedDict", "}}b."));
  it("has another persistent id", () => refusedPickle("persistent id", "K\x01Q."));
  it("has a storage of negative size", () =>
    refusedPickle("malformed persistent id", pickleState({ w: { elements: -1 } })));
  it("has a negative shape", () => refusedPickle("malformed arguments", pickleState({ w: { shape: [-1, 2] } })));
  it("has strides for another shape", () => refusedPickle("malformed arguments", pickleState({ w: { strides: [1] } })));
  it("has protocol 6", () => refusedPickle("protocol 6", Buffer.from([0x80, 6, 0x2e])));
  it("ends early", () => refusedPickle("it ends at byte", PICKLE.subarray(0, -1)));
  it("claims a long string", () => refusedPickle("inside a value of 4294967295 bytes", "X\xff\xff\xff\xff"));
  it("claims a longer string", () => refusedPickle("inside a value of", "\x8d\xff\xff\xff\xff\xff\xff\xff\xff"));
  it("takes from an empty stack", () => refusedPickle("empty stack", "a."));
  it("takes from below its mark", () => refusedPickle("empty stack", "K\x01(K\x02\x86."));
  it("has no mark", () => refusedPickle("no mark", "t."));
  it("leaves values over", () => refusedPickle("values left over", "K\x01K\x01."));
  it("reads a memo that was never set", () => refusedPickle("the memo 9", "h\x09."));
  it("sets a key twice", () => refusedPickle("sets the key a twice", "}X\x01\0\0\0aK\x01sX\x01\0\0\0aK\x01s."));
  it("has a dict as key", () => refusedPickle("a dict key that is not a string", "}}K\x01s."));
  it("appends to a dict", () => refusedPickle("not a list", "}K\x01a."));
  it("has a name without end", () => refusedPickle("a global name without an end", "cos"));
  it("has an integer above 2^53", () =>
    refusedPickle("it holds the integer", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f."));
  it("stacks without end", () => refusedPickle("stacks more than", "N".repeat(2 ** 20 + 1)));
  it("marks without end", () => refusedPickle("more than 1048576 marks", "(".repeat(2 ** 20 + 1)));
  it("doubles itself by its memo, harmlessly", () =>
    refusedPickle("values left over", `]q\x00${"h\x00h\x00\x86q\x00".repeat(10_000)}.`));
  it("has no tensors", () =>
    refusedAs(zip(torchEntries(Buffer.from("\x80\x02}.", "latin1"))), "ERR_CHECKPOINT", "keys: none"));
});

it("survives damaged files", async () => {
  const plain = zip(torchEntries(PICKLE));
  writeZip(
    path("t.pt"),
    torchEntries(PICKLE).map(({ name, content }) => ({ name, chunks: () => [content] })),
  );
  for (const [seed, bytes] of [plain, readFileSync(path("t.pt"))].entries()) {
    const refusals = await surviveDamage(path("m.pt"), damaged(bytes, 3 + seed, 500), readTorchZip);
    expect(refusals).toBeGreaterThan(150);
    expect(refusals).toBeLessThan(500);
  }
});

it("survives damaged pickles", async () => {
  const archives = [...damaged(PICKLE, 5, 600)].map((pickle) => zip(torchEntries(pickle)));
  const refusals = await surviveDamage(path("m.pt"), archives, readTorchZip);
  expect(refusals).toBeGreaterThan(200);
  expect(refusals).toBeLessThan(600);
});
