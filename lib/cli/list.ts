/** `scorehead list`: the converted models in the cache. */
import { Command } from "commander";
import { listModels } from "../index.ts";
import { say } from "./exit.ts";
import { formatBytes, tableLines } from "./format.ts";
import { writeLines } from "./stdout.ts";

export function listCommand(): Command {
  return new Command("list")
    .summary("list the converted models in the cache")
    .description(
      "List the models that were converted into the cache, from the hub or from directories, and copies of files that " +
        "llama.cpp does not open as they are: what to load each by, its type, size, last use and path. Downloads are " +
        "in the hub cache, which other tools share.",
    )
    .option("--json", "print the models as one JSON array")
    .action(run);
}

async function run({ json }: { json?: true }): Promise<void> {
  const models = await listModels();
  if (json) return writeLines([JSON.stringify(models)]);
  if (models.length === 0) return say("There are no converted models.");
  const rows = models.map(({ name, type, bytes, lastUsed, path }) => [
    name,
    type,
    formatBytes(bytes),
    localTime(lastUsed),
    path,
  ]);
  await writeLines(tableLines([["name", "type", "size", "last use", "path"], ...rows]));
}

/** E.g. "2026-11-20 17:05", of here. */
function localTime(time: Date): string {
  const two = (number: number): string => String(number).padStart(2, "0");
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("-");
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}`;
}
