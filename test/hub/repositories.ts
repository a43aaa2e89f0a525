/** What the test hub serves: repositories with their commits, and files with the ids that git and LFS give them. */
import { createHash } from "node:crypto";
import { createReadStream, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** A file's bytes, in memory or on disk. */
export interface Content {
  readonly size: number;
  readonly sha256: string;
  /** Git's id of the file, or where it is stored by LFS of the pointer to it. */
  readonly oid: string;
  readonly lfs: boolean;
  readonly pointerSize: number;
  /** Bytes from `start` to before `end`. */
  readonly read: (start: number, end: number) => Readable;
}

export interface Repository {
  readonly name: string;
  /** Branches and tags, each with its commit. */
  readonly refs: Map<string, string>;
  readonly commits: Map<string, ReadonlyMap<string, Content>>;
  /** `gated`: everybody sees the listing, and only its users get the files. `private`: its users alone see it. */
  access: "public" | "gated" | "private";
}

/** What the hub's .gitattributes puts into LFS. */
const LFS = /\.(safetensors|bin|pt|pth|gguf|model)$/;

const gitId = (bytes: Buffer): string =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

function content(path: string, size: number, sha256: string, ownId: string, read: Content["read"]): Content {
  const lfs = LFS.test(path);
  const pointer = Buffer.from(`version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${size}\n`);
  return { size, sha256, oid: lfs ? gitId(pointer) : ownId, lfs, pointerSize: pointer.length, read };
}

/** The content of a file at `path` of a repository. */
export function bytesContent(path: string, bytes: Buffer): Content {
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return content(path, bytes.length, sha256, gitId(bytes), (start, end) => {
    // Pieces as a socket gives them, and not one that arrives at once.
    const pieces = Array.from({ length: Math.ceil((end - start) / 65_536) }, (_, i) => start + i * 65_536);
    return Readable.from(pieces.map((at) => bytes.subarray(at, Math.min(at + 65_536, end))));
  });
}

async function diskContent(path: string, file: string): Promise<Content> {
  const { size } = statSync(file);
  const sha256 = createHash("sha256");
  const sha1 = createHash("sha1").update(`blob ${size}\0`);
  await pipeline(createReadStream(file, { highWaterMark: 1024 * 1024 }), async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) {
      sha256.update(chunk);
      if (!LFS.test(path)) sha1.update(chunk);
    }
  });
  return content(path, size, sha256.digest("hex"), sha1.digest("hex"), (start, end) =>
    end === start ? Readable.from([]) : createReadStream(file, { start, end: end - 1, highWaterMark: 1024 * 1024 }),
  );
}

/** A directory's files, folders included, as they lie on disk. */
export async function directoryContents(directory: string): Promise<Map<string, Content>> {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
  const files = names.filter((name) => statSync(join(directory, name)).isFile());
  const contents = files.map(async (name) => [name, await diskContent(name, join(directory, name))] as const);
  return new Map(await Promise.all(contents));
}
