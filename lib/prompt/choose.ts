/** Which profile a checkpoint belongs to: by the user's word, by its name, or by its architecture. */
import { ScoreheadError } from "../errors.ts";
import { CUSTOM } from "./chat-profiles.ts";
import { includesArchitecture } from "./names.ts";
import { findProfile, PROFILE_NAMES, PROFILES } from "./profiles.ts";
import type { Profile } from "./types.ts";

/** What is known about a checkpoint; what is unknown is left out. */
export interface ProfileEvidence {
  /** The user's own choice. */
  readonly profileName?: string | undefined;
  /** `owner/name` without revision, or the path of the checkpoint's directory. */
  readonly repository?: string | undefined;
  /** `architectures[0]` of the config. */
  readonly architecture?: string | undefined;
  /** `score_type` of the config, as parsed. */
  readonly scoreType?: unknown;
}

export interface ProfileChoice {
  readonly profile: Profile;
  /** Sentences for the user: assumptions made and contradictions seen. */
  readonly warnings: readonly string[];
}

const REMEDY = `Name the profile with --profile <name> (option "profile"): ${PROFILE_NAMES}.`;

/**
 * Chooses the profile of a checkpoint.
 *
 * The user's word goes first, then the repository or directory name, then the architecture. A directory can be called
 * anything while the architecture describes the tensors, so a name does not win against it: an architecture that
 * belongs to one family decides, with a warning, and one that belongs to none makes the name unusable. A beaver model's
 * `score_type` never overrides its name: the published v1.0-cost says "reward". A classifier of transformers that neither
 * tells is `custom`: rendered, read and labelled by its own files.
 *
 * @param evidence what is known about the checkpoint
 * @returns the profile, and warnings to show
 * @throws ERR_ARGUMENT for an unknown `profileName`; ERR_CONFIG where `score_type` has to decide and is missing or
 *   unknown; ERR_UNSUPPORTED where nothing matches or the name contradicts the architecture
 */
export function chooseProfile(evidence: ProfileEvidence): ProfileChoice {
  if (evidence.profileName !== undefined) return byUser(evidence.profileName, evidence);
  const named = profileByName(evidence.repository);
  if (named === null) {
    const identified = byArchitecture(evidence) ?? asClassifier(evidence);
    if (identified !== null) return identified;
    const how = PROFILES.map((profile) => scoredOtherwise(profile, evidence)).find((found) => found !== null);
    const reason = how ? `: ${how}` : "";
    throw new ScoreheadError("ERR_UNSUPPORTED", `No profile is known for ${describe(evidence)}${reason}. ${REMEDY}`);
  }
  const { architecture } = evidence;
  if (architecture !== undefined && !includesArchitecture(named.architectures, architecture)) {
    return contradiction(named, architecture, evidence);
  }
  if (named.name === "beaver-reward" && evidence.scoreType === "cost") {
    const warning =
      `The name of ${evidence.repository} says reward and its config says score_type "cost": the name decides. ` +
      "If that is wrong, pass --profile beaver-cost.";
    return { profile: named, warnings: [warning] };
  }
  return { profile: named, warnings: [] };
}

function byUser(name: string, evidence: ProfileEvidence): ProfileChoice {
  const profile = findProfile(name);
  if (profile === null) {
    throw new ScoreheadError("ERR_ARGUMENT", `There is no profile "${name}". The profiles are: ${PROFILE_NAMES}.`);
  }
  const { architecture } = evidence;
  const how = scoredOtherwise(profile, evidence);
  if (how !== null) return { profile, warnings: [`${how}; profile ${name} renders conversations without one.`] };
  if (architecture === undefined || includesArchitecture(profile.architectures, architecture))
    return { profile, warnings: [] };
  const warning =
    `The checkpoint's architecture is ${architecture}; profile ${name} is made for ` +
    `${profile.architectures.join(" and ")}. Its template and read position are used as asked.`;
  return { profile, warnings: [warning] };
}

/** How a model is scored that has a profile's architecture and a name that says that it is none of its family. */
function scoredOtherwise({ architectures, others = [] }: Profile, evidence: ProfileEvidence): string | null {
  const { architecture, repository } = evidence;
  if (architecture === undefined || repository === undefined) return null;
  if (!includesArchitecture(architectures, architecture)) return null;
  const name = familyName(repository);
  return others.find((other) => other.name.test(name))?.how ?? null;
}

/** The one profile whose names match; null for none, and for several ("beaver-reward-vs-cost"), which say nothing. */
export function profileByName(repository: string | undefined): Profile | null {
  if (repository === undefined) return null;
  const name = familyName(repository);
  const matches = PROFILES.filter(({ repositories }) => repositories.some((pattern) => pattern.test(name)));
  return matches.length === 1 ? (matches[0] ?? null) : null;
}

/**
 * The part of a path that names the model: its last component, or in the Hugging Face cache
 * (`models--owner--name/snapshots/<commit>`) the repository's. Parent directories say nothing about a model.
 */
function familyName(repository: string): string {
  const parts = repository.split(/[\\/]/).filter((part) => part !== "");
  return (parts.at(-2) === "snapshots" ? parts.at(-3) : parts.at(-1)) ?? "";
}

/** The family that the architecture alone names; where it has a reward and a cost model, `score_type` says which. */
function byArchitecture(evidence: ProfileEvidence): ProfileChoice | null {
  const { architecture, scoreType } = evidence;
  if (architecture === undefined) return null;
  const family = PROFILES.filter(
    (p) =>
      p.architectureIdentifies !== "no" &&
      includesArchitecture(p.architectures, architecture) &&
      scoredOtherwise(p, evidence) === null,
  );
  const [only] = family;
  if (only === undefined) return null;
  if (family.length === 1)
    return { profile: only, warnings: only.architectureIdentifies === "likely" ? [guess(only, evidence)] : [] };
  const profile = family.find(({ type }) => type === scoreType);
  if (profile === undefined) {
    const found = scoreType === undefined ? "is missing" : `is ${JSON.stringify(scoreType)}`;
    const message = `The config of this ${architecture} checkpoint has to say score_type "reward" or "cost", but it ${found}.`;
    throw new ScoreheadError("ERR_CONFIG", `${message} ${REMEDY}`);
  }
  const warning =
    `The checkpoint's name does not say whether it is a reward or a cost model: its config's score_type says ` +
    `"${profile.type}", so profile ${profile.name} is used. If that is wrong, pass --profile.`;
  return { profile, warnings: [warning] };
}

function guess({ name }: Profile, { architecture }: ProfileEvidence): string {
  return (
    `The checkpoint's name tells no family: profile ${name} is used, as its architecture is ${architecture}. If its ` +
    "card says otherwise, pass --profile."
  );
}

/** A classifier of transformers of no known family. */
function asClassifier(evidence: ProfileEvidence): ProfileChoice | null {
  const { architecture } = evidence;
  if (architecture === undefined || !includesArchitecture(CUSTOM.architectures, architecture)) return null;
  const warning =
    `No profile is known for ${describe(evidence)}: conversations are rendered by its own chat template and the score ` +
    "is read as transformers does. Compare with its card; --profile names another profile.";
  return { profile: CUSTOM, warnings: [warning] };
}

/** A name that says one family beside an architecture that is not that family's. */
function contradiction(named: Profile, architecture: string, evidence: ProfileEvidence): ProfileChoice {
  const identified = byArchitecture(evidence);
  const clash = `The name of ${evidence.repository} says ${named.name}, but its architecture is ${architecture}`;
  if (identified === null) {
    throw new ScoreheadError("ERR_UNSUPPORTED", `${clash}, which that profile is not made for. ${REMEDY}`);
  }
  const warning = `${clash}: profile ${identified.profile.name} is used. If that is wrong, pass --profile.`;
  return { profile: identified.profile, warnings: [warning, ...identified.warnings] };
}

function describe({ repository, architecture }: ProfileEvidence): string {
  const name = repository === undefined ? "this checkpoint" : repository;
  return architecture === undefined
    ? `${name} (its config names no architecture)`
    : `${name} (architecture ${architecture})`;
}
