/** `scorehead remove`: converted models go from the cache by name. */
import { Command } from "commander";
import { type RemovedModel, removeModel } from "../index.ts";
import { removedLines } from "./removed-lines.ts";
import { writeLines } from "./stdout.ts";

export function removeCommand(): Command {
  return new Command("remove")
    .summary("remove converted models from the cache")
    .description("Remove converted models from the cache. What was downloaded stays in the hub cache.")
    .argument(
      "<name...>",
      "owner/name for all conversions of a repository, or with @revision or :type; the own name of a directory or of a " +
        "file that was copied; that file's path; or a path in the cache",
    )
    .action(async (names: readonly string[]) => {
      const removed: RemovedModel[] = [];
      for (const name of names) removed.push(...(await removeModel(name)));
      await writeLines(removedLines(removed, "removed"));
    });
}
