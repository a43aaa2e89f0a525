/** A conversion's file: found where it is there, else made by one process while the others wait. */
import { stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { checkAborted } from "../abort.ts";
import type { Revision } from "../hub/types.ts";
import {
  type ConvertedRecord,
  entryDirectory,
  type Ingredients,
  noteUse,
  readEntry,
  removeEntry,
  removeLeftovers,
  withEntry,
  withIdleEntry,
  writeRecord,
} from "./converted.ts";
import { journalPath } from "./journal.ts";
import type { SourceOptions } from "./types.ts";

/** Where a conversion is made. */
export interface Workplace {
  readonly output: string;
  /** The file that is written first where weight files are discarded: it outlasts this process, and a later one goes on. */
  readonly partial: string;
  /** Whether no other process works here. Else nothing is discarded, and nothing is left for later. */
  readonly exclusive: boolean;
}

/** The path of a conversion that is there, noted as used; else null. */
export async function findConversion(ingredients: Ingredients, revision: Revision | null): Promise<string | null> {
  const directory = entryDirectory(ingredients);
  const entry = await readEntry(directory);
  const { path, leftovers } = entry;
  if (path === null) return null;
  await noteUse(entry, revision);
  // Of a process that ended after it had made the model.
  const tidy = (): Promise<void> => removeLeftovers(directory, [basename(path)]);
  if (leftovers.length > 0) await withIdleEntry(directory, tidy).catch(() => {});
  return path;
}

/** How a conversion is made. */
export interface Making {
  /** The directory or repository, for messages. */
  readonly what: string;
  readonly revision: Revision | null;
  /** What a copy is made of; of a conversion, nothing. */
  readonly sources?: ConvertedRecord["sources"];
  /** @param begin to be called, with the type of the file, before the output is begun */
  readonly make: (work: Workplace, begin: (fileType: string) => Promise<void>) => Promise<unknown>;
}

/**
 * Makes a conversion, or waits for another process that makes it.
 * @returns its path
 */
export async function makeConversion(
  ingredients: Ingredients,
  { what, revision, sources, make }: Making,
  { signal, onWarning }: SourceOptions,
): Promise<string> {
  checkAborted(signal);
  const directory = entryDirectory(ingredients);
  const partial = join(directory, "partial.gguf");
  const file = `${basename(ingredients.name)}.${ingredients.type}.gguf`;
  const onWait = (): void => onWarning?.(`Another process is converting ${what}: waiting for it.`);
  await withEntry(directory, { signal, onWait }, async (exclusive) => {
    if ((await readEntry(directory)).path !== null) return;
    if (exclusive)
      await removeLeftovers(
        directory,
        [partial, journalPath(partial)].map((path) => basename(path)),
      );
    const begin = (fileType: string): Promise<void> => {
      const record: ConvertedRecord = {
        ...ingredients,
        file,
        fileType,
        revisions: revision ? [revision.revision] : [],
        ...(sources && { sources }),
      };
      return writeRecord(directory, record);
    };
    try {
      await make({ output: join(directory, file), partial, exclusive }, begin);
    } catch (error) {
      // Unless there is something for a later process to go on with.
      if (exclusive && !(await stat(journalPath(partial)).catch(() => null))) await removeEntry(directory);
      throw error;
    }
  });
  const entry = await readEntry(directory);
  await noteUse(entry, revision);
  return join(directory, file);
}

/** The path of a conversion: of the one that is there, else of one that is made. */
export async function readyConversion(
  ingredients: Ingredients,
  making: Making,
  options: SourceOptions,
): Promise<string> {
  return (await findConversion(ingredients, making.revision)) ?? (await makeConversion(ingredients, making, options));
}
