/** A forward reader over a GGUF header: buffered positional reads, every length checked before anything is allocated. */
import type { ByteReader } from "../checkpoint/types.ts";
import { ggufError, MAX_KEY_BYTES } from "./layout.ts";

/**
 * Headers are the vocabulary, its merges, the chat template and one line a tensor: 35 MB for the largest published
 * vocabulary (262 k tokens). An MLP head adds up to 358 MB: the 8192 x 8192 of a 70B model's, in F32 and base64. 512 MiB
 * leave room and still bound what a malicious file can make us hold.
 */
const MAX_HEADER_BYTES = 512 * 1024 * 1024;

/** The longest strings in real files are chat templates of some 100 kB. */
const MAX_STRING_BYTES = 16 * 1024 * 1024;

/** One read serves most of a header. */
const CHUNK_BYTES = 1024 * 1024;

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Reads little-endian values in file order. Every method throws ERR_GGUF where the file ends inside the value. */
export class HeaderCursor {
  readonly path: string;
  readonly #reader: ByteReader;
  /** The file's size, capped by the header limit. */
  readonly #end: number;
  readonly #fileSize: number;
  #chunk: Buffer = Buffer.alloc(0);
  /** File offset of the chunk's first byte. */
  #base = 0;
  /** Next byte within the chunk. */
  #at = 0;

  constructor(reader: ByteReader, path: string, fileSize: number) {
    this.#reader = reader;
    this.path = path;
    this.#fileSize = fileSize;
    this.#end = Math.min(fileSize, MAX_HEADER_BYTES);
  }

  /** File offset of the next byte. */
  get offset(): number {
    return this.#base + this.#at;
  }

  /** Fails unless `count` items of at least `itemBytes` each fit in what is left of the header. */
  requireRoom(count: number, itemBytes: number, what: string): void {
    const left = this.#end - this.offset;
    if (count * itemBytes <= left) return;
    if (this.#fileSize > this.#end && count * itemBytes <= this.#fileSize - this.offset)
      throw ggufError(this.path, `${what} would take the header beyond ${MAX_HEADER_BYTES} bytes`);
    throw ggufError(
      this.path,
      `${what} needs ${count * itemBytes} bytes at offset ${this.offset}, but the file has ${this.#fileSize}`,
    );
  }

  async u8(what: string): Promise<number> {
    await this.#need(1, what);
    return this.#chunk.readUInt8(this.#take(1));
  }

  async u32(what: string): Promise<number> {
    await this.#need(4, what);
    return this.#chunk.readUInt32LE(this.#take(4));
  }

  /** A u64 as a double: exact up to 2^53, and beyond that only ever compared with far smaller limits. */
  async u64(what: string): Promise<number> {
    await this.#need(8, what);
    return this.#peekU64(this.#take(8));
  }

  /** The next `length` bytes, valid until the next call. The caller has checked `length` against a limit. */
  async bytes(length: number, what: string): Promise<Buffer> {
    await this.#need(length, what);
    const start = this.#take(length);
    return this.#chunk.subarray(start, start + length);
  }

  /** A key or tensor name: not empty, no control characters (llama.cpp cuts names at a zero byte). */
  async name(what: string, maxBytes: number = MAX_KEY_BYTES): Promise<string> {
    const name = await this.string(what, maxBytes);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
    if (name === "" || /[\u0000-\u001f\u007f]/.test(name))
      throw ggufError(this.path, `${what} is ${JSON.stringify(name)}, which is not a name`);
    return name;
  }

  async string(what: string, maxBytes: number = MAX_STRING_BYTES): Promise<string> {
    await this.#need(8, what);
    const length = this.#peekU64(this.#at);
    if (length > maxBytes)
      throw ggufError(this.path, `${what} is ${length} bytes long, more than the ${maxBytes} allowed`);
    await this.#need(8 + length, what);
    const start = this.#take(8 + length) + 8;
    const bytes = this.#chunk.subarray(start, start + length);
    const text = bytes.toString("utf8");
    // The lenient decoder is faster; only a text with a replacement character needs to be told from a real one.
    if (text.includes("\ufffd")) this.#requireUtf8(bytes, what);
    return text;
  }

  #requireUtf8(bytes: Buffer, what: string): void {
    try {
      utf8.decode(bytes);
    } catch {
      throw ggufError(this.path, `${what} is not UTF-8 text`);
    }
  }

  #peekU64(at: number): number {
    return this.#chunk.readUInt32LE(at + 4) * 2 ** 32 + this.#chunk.readUInt32LE(at);
  }

  #take(length: number): number {
    const start = this.#at;
    this.#at += length;
    return start;
  }

  async #need(length: number, what: string): Promise<void> {
    if (this.#at + length <= this.#chunk.length) return;
    this.requireRoom(1, length, what);
    const base = this.offset;
    const chunk = Buffer.alloc(Math.min(Math.max(length, CHUNK_BYTES), this.#end - base));
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await this.#reader.read(chunk, filled, chunk.length - filled, base + filled);
      if (bytesRead === 0) throw ggufError(this.path, `the file became shorter while ${what} was read`);
      filled += bytesRead;
    }
    this.#chunk = chunk.subarray(0, filled);
    this.#base = base;
    this.#at = 0;
  }
}
