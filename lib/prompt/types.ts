/** Conversations and what a profile says about a model family. */
import type { ReadPosition, ScoreType, TruncationSide } from "../head/types.ts";

export interface Message {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** A conversation as the caller gives it: one turn each, or the turns in order, the last one the answer to score. */
export type ConversationInput =
  | { readonly prompt: string; readonly response: string }
  | { readonly messages: readonly Message[] };

/** The texts of the tokens that a template writes out. */
export interface TemplateTokens {
  readonly bos: string;
  readonly eos: string;
}

/** One family of published models, as data with its sources. */
export interface Profile {
  /** The word for `--profile`. */
  readonly name: string;
  readonly type: ScoreType;
  /** Fixed labels; null: the one label is the type. */
  readonly labels: readonly string[] | null;
  readonly read: ReadPosition;
  /** The family's own limit in tokens; null: the config's. */
  readonly maxLength: number | null;
  readonly truncation: {
    readonly side: TruncationSide;
    /** Whether a text above maxLength is cut without being asked; else it is an error. */
    readonly automatic: boolean;
  };
  /** Renders a checked conversation to the exact string of the card, without BOS. */
  readonly render: (messages: readonly Message[], tokens: TemplateTokens) => string;
  /** Whether the template takes more than one user turn and one assistant turn. */
  readonly multiTurn: boolean;
  /** What a number means, for people. */
  readonly meaning: string;
  /** Repository or directory names of this family, without their owner or path. */
  readonly repositories: readonly RegExp[];
  /** `architectures[0]` of the family's configs. */
  readonly architectures: readonly string[];
  /** Whether those architectures belong to this family alone, so that they name it where no repository name does. */
  readonly architectureIdentifies: boolean;
  /** The repository whose tokenizer and config serve checkpoints that have none of their own. */
  readonly base: string | null;
  /** Where the facts come from. */
  readonly source: string;
}
