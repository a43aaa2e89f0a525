/** A GGUF file of a repository, used as it is. */
import { checkModel } from "../convert/check-model.ts";
import { ScoreheadError } from "../errors.ts";
import { readGgufFrom } from "../gguf/read.ts";
import type { GgufFile } from "../gguf/types.ts";
import { filePath } from "../hub/cache.ts";
import { pull } from "../hub/pull.ts";
import { remainingBytes } from "../hub/stored.ts";
import type { HubFile, Snapshot } from "../hub/types.ts";
import { remoteFiles } from "./hub-checkpoint.ts";
import { refuseTokenizer } from "./tokenizer.ts";
import type { SourceOptions } from "./types.ts";

/**
 * Downloads a snapshot's GGUF file where it is missing, once its header has shown that it can be scored with.
 * @throws ERR_NO_HEAD and its kin before the download, and what reading and downloading throw
 */
export async function pullGguf(snapshot: Snapshot, options: SourceOptions): Promise<string> {
  const { repository, commit } = snapshot;
  const { file, path } = ggufOf(snapshot);
  refuseTokenizer(`${repository}/${file.path}`, options.tokenizer);
  const files = remoteFiles(snapshot, options);
  checkModel(await readHeader(snapshot, options, files));
  const downloadBytes = await remainingBytes(snapshot, file);
  if (downloadBytes > 0)
    options.onPlan?.({
      repository,
      commit,
      downloadBytes,
      resultBytes: file.size,
      peakBytes: downloadBytes,
      keepDownloads: true,
    });
  await pull(snapshot, options);
  await files.requireSame(path);
  return path;
}

/** The header of a snapshot's GGUF file, by ranges where it is not there. @throws ERR_GGUF, ERR_NETWORK and the like */
export function readHeader(
  snapshot: Snapshot,
  options: SourceOptions,
  files = remoteFiles(snapshot, options),
): Promise<GgufFile> {
  const { file, path } = ggufOf(snapshot);
  return files.open(path, (reader, size) => readGgufFrom(reader, `${snapshot.repository}/${file.path}`, size));
}

function ggufOf({ repository, directory, files }: Snapshot): { file: HubFile; path: string } {
  const file = files.find(({ weights }) => weights);
  if (file) return { file, path: filePath(directory, file) };
  throw new ScoreheadError("ERR_INTERNAL", `${repository} has no GGUF file after all. Please report this.`);
}
