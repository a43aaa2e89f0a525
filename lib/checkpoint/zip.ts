/** The directory of a zip archive whose entries are stored uncompressed: name to byte range, proven to be in the file. */
import { type Entry, fromRandomAccessReaderPromise, parseExtraFields, RandomAccessReader, type ZipFile } from "yauzl";
import type { Fail } from "./json.ts";
import type { ByteReader } from "./types.ts";

/** A state dict has one entry a tensor: some 300 for 7 billion parameters. */
const MAX_ENTRIES = 131_072;

/** General purpose flag: the sizes follow the data, and the local header may have zeros. torch writes such entries. */
const SIZES_FOLLOW = 0x0008;
const ENCRYPTED = 0x0001;
const STORED = 0;

/** Extra field with 64-bit sizes, and the 32-bit size that refers to it. */
const ZIP64_FIELD = 0x0001;
const SEE_ZIP64 = 0xffffffff;

/** Where an entry's bytes are in the archive's file. */
export interface ZipRange {
  readonly offset: number;
  readonly size: number;
}

interface Extent extends ZipRange {
  readonly name: string;
  /** Where the entry's local header starts. */
  readonly start: number;
}

/** The entries of the archive in `reader`; `fail` makes the error where the archive is malformed or lies. */
export async function readZipDirectory(reader: ByteReader, size: number, fail: Fail): Promise<Map<string, ZipRange>> {
  const extents: Extent[] = [];
  let directoryStart: number;
  try {
    const zip = await fromRandomAccessReaderPromise(new ArchiveReader(reader, size), size, {
      autoClose: false,
      strictFileNames: true,
      validateEntrySizes: false,
    });
    // Declared boolean by mistake in the typings: the offset of the next central directory record.
    directoryStart = zip.readEntryCursor as unknown as number;
    if (zip.entryCount > MAX_ENTRIES) throw fail(`it claims ${zip.entryCount} entries, more than ${MAX_ENTRIES}`);
    for await (const entry of zip.eachEntry()) extents.push(await extentOf(zip, entry, fail));
  } catch (cause) {
    // yauzl reports every malformed structure as a plain Error; system errors carry a syscall.
    if (cause instanceof Error && cause.constructor === Error && !("syscall" in cause))
      throw fail(cause.message.replace(/\.$/, ""), cause);
    throw cause;
  }
  requireDisjoint(extents, directoryStart, fail);
  return byName(extents, fail);
}

async function extentOf(zip: ZipFile, entry: Entry, fail: Fail): Promise<Extent> {
  const { fileName: name, compressedSize, uncompressedSize: size, relativeOffsetOfLocalHeader: start } = entry;
  if ((entry.generalPurposeBitFlag & ENCRYPTED) !== 0) throw fail(`the entry ${name} is encrypted`);
  if (entry.compressionMethod !== STORED)
    throw fail(`the entry ${name} is compressed (method ${entry.compressionMethod}), which torch.save never does`);
  if (compressedSize !== size)
    throw fail(`the stored entry ${name} claims ${compressedSize} bytes in the archive for ${size} bytes of content`);
  const local = await zip.readLocalFileHeaderPromise(entry);
  if (!local.fileName.equals(entry.fileNameRaw))
    throw fail(`the entry ${name} has another name in its local header: ${local.fileName.toString("latin1")}`);
  if (local.compressionMethod !== STORED || (local.generalPurposeBitFlag & ENCRYPTED) !== 0)
    throw fail(`the entry ${name} is compressed or encrypted by its local header alone`);
  const [localSize, localCompressed] = localSizes(local);
  const open = (local.generalPurposeBitFlag & SIZES_FOLLOW) !== 0 && localSize === 0 && localCompressed === 0;
  if (!open && (localSize !== size || localCompressed !== size))
    throw fail(`the entry ${name} has ${size} bytes by the directory, but ${localSize} by its local header`);
  return { name, start, offset: local.fileDataStart, size };
}

/** The local header's uncompressed and compressed size, from the ZIP64 field where it has one. */
function localSizes(local: { uncompressedSize: number; compressedSize: number; extraField: Buffer }): [number, number] {
  const { uncompressedSize, compressedSize } = local;
  if (uncompressedSize !== SEE_ZIP64 && compressedSize !== SEE_ZIP64) return [uncompressedSize, compressedSize];
  const wide = parseExtraFields(local.extraField).find(({ id }) => id === ZIP64_FIELD)?.data;
  const compressedAt = uncompressedSize === SEE_ZIP64 ? 8 : 0;
  return [
    uncompressedSize === SEE_ZIP64 ? u64At(wide, 0) : uncompressedSize,
    compressedSize === SEE_ZIP64 ? u64At(wide, compressedAt) : compressedSize,
  ];
}

/** A u64 as a double, -1 where the field is missing or too short: a size that nothing equals. */
function u64At(field: Buffer | undefined, at: number): number {
  if (field === undefined || field.length < at + 8) return -1;
  return field.readUInt32LE(at + 4) * 2 ** 32 + field.readUInt32LE(at);
}

/** An entry that claims bytes of its neighbour, or of the directory behind the last entry, lies about its size. */
function requireDisjoint(extents: readonly Extent[], directoryStart: number, fail: Fail): void {
  const sorted = [...extents].sort((a, b) => a.start - b.start);
  for (const [index, { name, offset, size }] of sorted.entries()) {
    const next = sorted[index + 1];
    if (offset + size > (next?.start ?? directoryStart))
      throw fail(`the entry ${name} claims ${size} bytes and overlaps ${next?.name ?? "the zip directory"}`);
  }
}

function byName(extents: readonly Extent[], fail: Fail): Map<string, ZipRange> {
  const ranges = new Map<string, ZipRange>();
  for (const { name, offset, size } of extents) {
    if (ranges.has(name)) throw fail(`it has two entries named ${name}`);
    ranges.set(name, { offset, size });
  }
  return ranges;
}

/** yauzl's own reader throws out of a callback, ending the process, when a forged offset is no valid file position. */
class ArchiveReader extends RandomAccessReader {
  readonly #reader: ByteReader;
  readonly #size: number;

  constructor(reader: ByteReader, size: number) {
    super();
    this.#reader = reader;
    this.#size = size;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, bytesRead?: number) => void,
  ): void {
    if (position + length > this.#size) {
      setImmediate(callback, new Error(`an offset points to byte ${position + length} of ${this.#size}`));
      return;
    }
    this.#reader.read(buffer, offset, length, position).then(({ bytesRead }) => callback(null, bytesRead), callback);
  }
}
