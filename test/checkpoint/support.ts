/** Shared by the checkpoint tests: builders of safetensors, zip and torch files that can also be wrong. */
import { writeFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import { PickleWriter } from "../fixtures/pickle.ts";

/** A safetensors file: the header as an object or as text, and how long it claims to be. */
export function safetensors(header: unknown, data: Buffer | number = 0, claimedLength?: number | bigint): Buffer {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(claimedLength ?? text.length));
  return Buffer.concat([length, text, typeof data === "number" ? Buffer.alloc(data) : data]);
}

/** The header entry of an F32 vector. */
export const f32 = (begin: number, end: number) => ({
  dtype: "F32",
  shape: [(end - begin) / 4],
  data_offsets: [begin, end],
});

/** Writes a shard with F32 vectors of one element under `names`. */
export function writeShard(path: string, ...names: string[]): void {
  const header = Object.fromEntries(names.map((name, i) => [name, f32(i * 4, i * 4 + 4)]));
  writeFileSync(path, safetensors(header, names.length * 4));
}

/** An entry of a zip file and, where they are to lie, the header fields. */
export interface RawEntry {
  readonly name: string;
  readonly content: Buffer;
  readonly localName?: string;
  readonly method?: number;
  readonly localMethod?: number;
  readonly flags?: number;
  /** In the directory. */
  readonly size?: number;
  readonly compressedSize?: number;
  /** In the local header. */
  readonly localSize?: number;
  /** The local header's offset by the directory. */
  readonly offset?: number;
  /** Sizes and offset in ZIP64 fields, as for entries above 4 GiB. */
  readonly zip64?: boolean;
}

/** A zip file from its parts; `entryCount` is what its end record claims. */
export function zip(entries: readonly RawEntry[], entryCount = entries.length): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const entry of entries) {
    const offset = entry.offset ?? at;
    const local = Buffer.concat([localHeader(entry), entry.content]);
    parts.push(local);
    directory.push(directoryRecord(entry, offset));
    at += local.length;
  }
  const records = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entryCount, 8);
  end.writeUInt16LE(entryCount, 10);
  end.writeUInt32LE(records.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, records, end]);
}

function localHeader(entry: RawEntry): Buffer {
  const name = Buffer.from(entry.localName ?? entry.name);
  const size = entry.localSize ?? entry.content.length;
  const extra = entry.zip64 ? zip64Field(size, size) : Buffer.alloc(0);
  const header = Buffer.alloc(30);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(entry.flags ?? 0, 6);
  header.writeUInt16LE(entry.localMethod ?? entry.method ?? 0, 8);
  header.writeUInt32LE(crc32(entry.content), 14);
  header.writeUInt32LE(entry.zip64 ? 0xffffffff : size, 18);
  header.writeUInt32LE(entry.zip64 ? 0xffffffff : size, 22);
  header.writeUInt16LE(name.length, 26);
  header.writeUInt16LE(extra.length, 28);
  return Buffer.concat([header, name, extra]);
}

function directoryRecord(entry: RawEntry, offset: number): Buffer {
  const name = Buffer.from(entry.name);
  const size = entry.size ?? entry.content.length;
  const compressed = entry.compressedSize ?? size;
  const extra = entry.zip64 ? zip64Field(size, compressed, offset) : Buffer.alloc(0);
  const record = Buffer.alloc(46);
  record.writeUInt32LE(0x02014b50, 0);
  record.writeUInt16LE(entry.flags ?? 0, 8);
  record.writeUInt16LE(entry.method ?? 0, 10);
  record.writeUInt32LE(crc32(entry.content), 16);
  record.writeUInt32LE(entry.zip64 ? 0xffffffff : compressed, 20);
  record.writeUInt32LE(entry.zip64 ? 0xffffffff : size, 24);
  record.writeUInt16LE(name.length, 28);
  record.writeUInt16LE(extra.length, 30);
  record.writeUInt32LE(entry.zip64 ? 0xffffffff : offset, 42);
  return Buffer.concat([record, name, extra]);
}

function zip64Field(...values: number[]): Buffer {
  const field = Buffer.alloc(4 + values.length * 8);
  field.writeUInt16LE(1, 0);
  field.writeUInt16LE(values.length * 8, 2);
  for (const [i, value] of values.entries()) field.writeBigUInt64LE(BigInt(value), 4 + i * 8);
  return field;
}

/** What `_rebuild_tensor_v2` is called with. */
export interface RawTensor {
  readonly storage?: string;
  readonly key?: string;
  /** Elements of the storage. */
  readonly elements?: number;
  readonly offset?: number;
  readonly shape?: readonly number[];
  readonly strides?: readonly number[];
}

/** Puts a tensor on the stack; by default the 2x2 of a half-precision storage "0" of four elements. */
export function pickleTensor(pickle: PickleWriter, tensor: RawTensor = {}): PickleWriter {
  pickle.global("torch._utils", "_rebuild_tensor_v2").tuple(6, () => {
    pickle.tuple(5, () => {
      pickle.string("storage").global("torch", tensor.storage ?? "HalfStorage");
      pickle
        .string(tensor.key ?? "0")
        .string("cpu")
        .integer(tensor.elements ?? 4);
    });
    pickle.persistentId().integer(tensor.offset ?? 0);
    pickle
      .integers(tensor.shape ?? [2, 2])
      .integers(tensor.strides ?? [2, 1])
      .false()
      .orderedDict();
  });
  return pickle.call();
}

/** The pickle of an OrderedDict of tensors. */
export function pickleState(tensors: Readonly<Record<string, RawTensor>>): Buffer {
  const pickle = new PickleWriter().orderedDict();
  pickle.setItems(() => {
    for (const [name, tensor] of Object.entries(tensors)) pickleTensor(pickle.string(name), tensor);
  });
  return pickle.finish();
}

/** The bytes of storage "0", four F16 numbers. */
export const STORAGE = Buffer.from("0102030405060708", "hex");

/** The entries of a torch zip with one storage; later entries replace or follow them. */
export function torchEntries(pickle: Buffer, ...more: RawEntry[]): RawEntry[] {
  const replaced = new Set(more.map(({ name }) => name));
  const entries: RawEntry[] = [
    { name: "m/data.pkl", content: pickle },
    { name: "m/byteorder", content: Buffer.from("little") },
    { name: "m/data/0", content: STORAGE },
    { name: "m/version", content: Buffer.from("3\n") },
  ];
  return [...entries.filter(({ name }) => !replaced.has(name)), ...more];
}
