/** Data on stdout: written as the reader takes it, and quietly over when the reader leaves (`| head`). */
import { once } from "node:events";
import { EXIT, say } from "./exit.ts";

/** Larger than most lines, so that a line is one write, and small beside a line of hidden states. */
const CHUNK_CHARACTERS = 1 << 16;

/** Writes the pieces of a line, and resolves when stdout takes more. */
export async function writePieces(pieces: Iterable<string>): Promise<void> {
  let chunk = "";
  for (const piece of pieces) {
    chunk += piece;
    if (chunk.length < CHUNK_CHARACTERS) continue;
    await write(chunk);
    chunk = "";
  }
  if (chunk !== "") await write(chunk);
}

/** Writes lines. */
export async function writeLines(lines: readonly string[]): Promise<void> {
  if (lines.length > 0) await writePieces([`${lines.join("\n")}\n`]);
}

async function write(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, "drain");
}

/** Ends the process when its output cannot be written: without a word where nobody reads any more. */
export function endOnOutputErrors(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(EXIT.brokenPipe);
    say(`error: The output cannot be written: ${error.message}.`);
    process.exit(EXIT.failed);
  });
  process.stderr.on("error", () => process.exit(EXIT.brokenPipe));
}
