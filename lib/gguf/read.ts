/**
 * Reading a GGUF file's header. This runs before llama.cpp opens a file, because llama.cpp aborts the process or
 * allocates gigabytes on a bad one. Tensor data is not read, only proven to be inside the file.
 */
import { open } from "node:fs/promises";
import type { ByteReader } from "../checkpoint/types.ts";
import { ioError, ScoreheadError } from "../errors.ts";
import { HeaderCursor } from "./cursor.ts";
import { DEFAULT_ALIGNMENT, ggufError, MAGIC } from "./layout.ts";
import { readMetadata } from "./read-metadata.ts";
import { readTensors } from "./read-tensors.ts";
import type { GgufFile, GgufMetadata } from "./types.ts";

/** Real files use 32. A mapped tensor never needs more than a page of any size. */
const MAX_ALIGNMENT = 65_536;

/**
 * The checked header of a GGUF file, version 2 or 3, little-endian.
 *
 * Every count, length, type, offset and name is checked against the file's size and llama.cpp's own rules before memory
 * is taken for it.
 *
 * @param path the file
 * @returns metadata and tensor descriptions in file order; `offset` counts from the start of the file
 * @throws ERR_GGUF where anything is malformed, ERR_NOT_FOUND, ERR_IO
 */
export async function readGguf(path: string): Promise<GgufFile> {
  try {
    const handle = await open(path, "r");
    try {
      const { size } = await handle.stat();
      return await readGgufFrom(handle, path, size);
    } finally {
      await handle.close();
    }
  } catch (cause) {
    // What is neither ours nor the operating system's is a bug, and must not be dressed up as a read error.
    if (cause instanceof ScoreheadError || !("syscall" in (cause as object))) throw cause;
    throw ioError("read", path, cause);
  }
}

/**
 * {@link readGguf} of a file that need not lie on a disk.
 * @param reader gives its bytes
 * @param path its name for messages
 */
export async function readGgufFrom(reader: ByteReader, path: string, size: number): Promise<GgufFile> {
  const cursor = new HeaderCursor(reader, path, size);
  await readMagic(cursor);
  const version = await readVersion(cursor);
  const tensorCount = await cursor.u64("the number of tensors");
  const keyCount = await cursor.u64("the number of metadata keys");
  const metadata = await readMetadata(cursor, keyCount);
  const alignment = alignmentOf(path, metadata);
  const tensors = await readTensors(cursor, tensorCount, alignment, size);
  requireDistinctTokens(path, metadata);
  return { path, size, version, alignment, metadata, tensors };
}

async function readMagic(cursor: HeaderCursor): Promise<void> {
  const magic = await cursor.bytes(4, "the magic number");
  if (magic.readUInt32LE(0) === MAGIC) return;
  const text = magic.toString("latin1");
  if (text === "vers")
    throw ggufError(
      cursor.path,
      'it starts with "vers", perhaps a Git LFS pointer instead of the file (`git lfs pull`)',
    );
  throw ggufError(cursor.path, `it starts with ${JSON.stringify(text)} instead of "GGUF"`);
}

async function readVersion(cursor: HeaderCursor): Promise<number> {
  const version = await cursor.u32("the version");
  if (version === 2 || version === 3) return version;
  // A version stored big-endian has its number in the upper half.
  if (version !== 0 && (version & 0xffff) === 0)
    throw ggufError(cursor.path, "it is byte-swapped: a big-endian file, which no supported machine reads");
  throw ggufError(cursor.path, `it has version ${version}, and only 2 and 3 are supported`);
}

function alignmentOf(path: string, metadata: GgufMetadata): number {
  const entry = metadata.get("general.alignment");
  if (entry === undefined) return DEFAULT_ALIGNMENT;
  if (entry.type !== "u32") throw ggufError(path, `general.alignment has type ${entry.type}, not u32`);
  const { value } = entry;
  if (value < 1 || value > MAX_ALIGNMENT || (value & (value - 1)) !== 0)
    throw ggufError(path, `general.alignment is ${value}, not a power of two up to ${MAX_ALIGNMENT}`);
  return value;
}

/**
 * llama.cpp asserts, and so aborts the process, where two ids have one text, which it reads up to a NUL. It renames empty
 * texts by their id.
 */
function requireDistinctTokens(path: string, metadata: GgufMetadata): void {
  const tokens = metadata.get("tokenizer.ggml.tokens");
  if (tokens?.type !== "array" || tokens.of !== "string") return;
  const seen = new Map<string, number>();
  for (const [id, text] of tokens.value.entries()) {
    const [token = ""] = text.split("\0");
    const first = seen.get(token);
    if (first !== undefined && token !== "")
      throw ggufError(path, `the token ${JSON.stringify(token)} has two ids, ${first} and ${id}`);
    seen.set(token, id);
  }
}
