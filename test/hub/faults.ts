/** What can go wrong with an answer of the test hub, and the answers' bodies with it. */
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

/** One thing, or several, that go wrong with one answer. */
export interface Fault {
  /** Answers this status, with `headers`, and nothing else. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Answers with this text, whatever was asked for. */
  readonly text?: string;
  /** Sends another body, of these bytes, in place of the file's. */
  readonly body?: Buffer;
  /** Breaks the connection after so many bytes of the body. */
  readonly cutAfter?: number;
  /** Ends the body as if it were complete after so many bytes. */
  readonly endAfter?: number;
  /** Inverts a bit of the body's byte at this place. */
  readonly flipAt?: number;
  /** Answers a request for a range with the whole file. */
  readonly ignoreRange?: boolean;
  /** Sends a byte at a time, with so many milliseconds between them. */
  readonly drip?: number;
  /** Sends the body when this has happened. */
  readonly after?: Promise<unknown>;
  /** Falls silent after so many bytes of the body. */
  readonly hangAfter?: number;
}

/** A body with its faults; it throws where the connection is to be cut. */
export function spoiled(body: Readable, fault: Fault): Readable {
  return Readable.from(pieces(body, fault));
}

async function* pieces(body: Readable, fault: Fault): AsyncGenerator<Buffer> {
  const { cutAfter, endAfter, flipAt, drip, hangAfter } = fault;
  const limit = Math.min(...[cutAfter, endAfter, hangAfter].map((bytes) => bytes ?? Number.POSITIVE_INFINITY));
  let sent = 0;
  await fault.after;
  for await (const chunk of body) {
    const part = Buffer.from(chunk.subarray(0, limit - sent));
    if (flipAt !== undefined && flipAt >= sent && flipAt < sent + part.length)
      part.writeUInt8(part.readUInt8(flipAt - sent) ^ 1, flipAt - sent);
    sent += part.length;
    if (drip === undefined) yield part;
    else yield* dripping(part, drip);
    if (sent >= limit) break;
  }
  if (sent === cutAfter) throw new Error("The connection is cut.");
  if (sent === hangAfter) await new Promise(() => {});
}

async function* dripping(bytes: Buffer, milliseconds: number): AsyncGenerator<Buffer> {
  for (const byte of bytes) {
    yield Buffer.of(byte);
    await sleep(milliseconds);
  }
}
