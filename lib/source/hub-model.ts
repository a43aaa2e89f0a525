/** A model on the hub → a .gguf on disk: the repository's own, or a conversion that the cache keeps. */
import type { ConvertPlan } from "../convert/plan.ts";
import { type ErrorCode, isScoreheadError } from "../errors.ts";
import { readGguf } from "../gguf/read.ts";
import type { GgufFile } from "../gguf/types.ts";
import { findRevision } from "../hub/revision.ts";
import { openSnapshot } from "../hub/snapshot.ts";
import type { Revision } from "../hub/types.ts";
import {
  CONVERTER_VERSION,
  type ConvertedEntry,
  entryDirectory,
  type Ingredients,
  noteUse,
  readEntries,
  readEntry,
} from "./converted.ts";
import { openByName, openHubCheckpoint, planBeforeDownload, unreadable } from "./hub-checkpoint.ts";
import { convertHub } from "./hub-convert.ts";
import { pullGguf, readHeader } from "./hub-gguf.ts";
import { HUB_TYPE } from "./hub-name.ts";
import { findConversion, type Making, makeConversion } from "./ready.ts";
import { tokenizerContent } from "./tokenizer.ts";
import type { HubModel, SourceOptions } from "./types.ts";

const UNREACHABLE: ReadonlySet<ErrorCode> = new Set(["ERR_NETWORK", "ERR_OFFLINE"]);

/**
 * The .gguf of a model on the hub, downloaded and converted where that has not been done.
 *
 * It is the conversion of the commit that the revision means now. Where the hub cannot be asked, it is that of the commit
 * that the revision meant when it was last asked.
 *
 * @throws ERR_OFFLINE and ERR_NETWORK where something is missing, ERR_DISK_SPACE, ERR_NO_HEAD, and what downloading and
 *   converting throw
 */
export async function resolveHubModel(model: HubModel, options: SourceOptions): Promise<string> {
  let revision: Revision | undefined;
  try {
    revision = await findRevision(model, options);
    return await modelAt(revision, model, options);
  } catch (error) {
    if (!isScoreheadError(error) || !UNREACHABLE.has(error.code) || revision?.online) throw error;
    const known = await lastConversion(model, options);
    if (!known?.path) throw error;
    // Where the user forbids the network, and no other commit is known, there is nothing to warn of.
    if (revision || error.code === "ERR_NETWORK")
      options.onWarning?.(`${error.message} Using the conversion of commit ${known.record?.content}.`);
    await noteUse(known, null);
    return known.path;
  }
}

/** What a model on the hub would be loaded as: the file, where it is there, or the plan to make it. */
export async function peekHubModel(model: HubModel, options: SourceOptions): Promise<GgufFile | ConvertPlan> {
  const revision = await findRevision(model, options);
  const ingredients = await ingredientsOf(revision.commit, model, options);
  const { path } = await readEntry(entryDirectory(ingredients));
  if (path !== null) return readGguf(path);
  const opened = await openByName({ ...model, revision: revision.commit }, options);
  if (!("weights" in opened)) return readHeader(opened, options);
  const plan = await planBeforeDownload(opened, ingredients.type, options);
  if (plan) return plan;
  throw unreadable(opened);
}

async function modelAt(revision: Revision, model: HubModel, options: SourceOptions): Promise<string> {
  const ingredients = await ingredientsOf(revision.commit, model, options);
  const ready = await findConversion(ingredients, revision);
  if (ready !== null) return ready;
  const { asked, repository } = model;
  const snapshot = await openSnapshot(revision, { ...options, type: asked === "auto" ? null : asked });
  if (snapshot.kind === "gguf") return pullGguf(snapshot, options);
  const make: Making["make"] = async (work, begin) => {
    const checkpoint = await openHubCheckpoint(snapshot, options);
    await convertHub(checkpoint, ingredients.type, work, options, async (plan) => {
      for (const warning of plan.warnings) options.onWarning?.(warning);
      await begin(plan.type);
    });
  };
  return makeConversion(ingredients, { what: repository, revision, make }, options);
}

async function ingredientsOf(content: string, model: HubModel, options: SourceOptions): Promise<Ingredients> {
  return {
    converter: CONVERTER_VERSION,
    name: model.repository,
    content,
    type: model.asked ?? HUB_TYPE,
    profile: options.profile ?? "",
    tokenizer: await tokenizerContent(options),
  };
}

/** The conversion that was used last of those that a revision has meant. */
async function lastConversion(model: HubModel, options: SourceOptions): Promise<ConvertedEntry | null> {
  const wanted = await ingredientsOf("", model, options).catch(() => null);
  if (!wanted) return null;
  const fits = ({ record, path }: ConvertedEntry): boolean =>
    record !== null &&
    path !== null &&
    record.revisions.includes(model.revision) &&
    entryDirectory({ ...wanted, content: record.content }) === entryDirectory(record);
  const [latest] = (await readEntries()).filter(fits).sort((a, b) => +b.lastUsed - +a.lastUsed);
  return latest ?? null;
}
