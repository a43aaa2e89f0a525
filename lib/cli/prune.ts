/** `scorehead prune`: what nothing will use goes from the cache of converted models. */
import { Command } from "commander";
import { pruneModels } from "../index.ts";
import { given } from "./arguments.ts";
import { removedLines } from "./removed-lines.ts";
import { writeLines } from "./stdout.ts";

export function pruneCommand(): Command {
  return new Command("prune")
    .summary("remove what nothing will use from the cache")
    .description(
      "Remove from the cache of converted models: conversions by older versions of scorehead, those of commits that " +
        "their revision does not mean any more, copies of files that have changed or are gone, and what interrupted " +
        "work has left.",
    )
    .option("--dry-run", "only tell what would be removed")
    .action(async ({ dryRun }: { dryRun?: true }) => {
      const removed = await pruneModels(given({ dryRun }));
      await writeLines(removedLines(removed, dryRun ? "would be removed" : "removed"));
    });
}
