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

/** The texts of the tokens that a template writes out; empty where the tokenizer has none. */
export interface TemplateTokens {
  readonly bos: string;
  readonly eos: string;
  readonly unk: string;
  readonly pad: string;
}

/** A template that the card spells out. */
export interface CardTemplate {
  readonly kind: "card";
  /** Whether it takes more than one user turn and one assistant turn. */
  readonly multiTurn: boolean;
  /** Renders a checked conversation to the exact string, without BOS. */
  readonly render: (messages: readonly Message[], tokens: TemplateTokens) => string;
}

/** The checkpoint's own chat template, which may write BOS itself where the tokenizer adds one too. */
export interface CheckpointTemplate {
  readonly kind: "chat";
  /**
   * What the card's code does so that there is one BOS:
   * - `once`: the text stays as it is, and the tokenizer adds what it does not begin with.
   * - `strip`: a BOS that the text begins with is cut off, and the tokenizer adds one.
   * - `remove`: every BOS in the text goes, those in the messages too, and the tokenizer adds one.
   */
  readonly bos: "once" | "strip" | "remove";
  /** The system turn that the card's conversations begin with, where the caller gives none; null: the template's own. */
  readonly system: string | null;
  /** Whether the card's code appends the token that the score is read at, unless the text ends with it. */
  readonly appendsReadToken: boolean;
}

/** One family of published models, as data with its sources. */
export interface Profile {
  /** The word for `--profile`. */
  readonly name: string;
  /** null: a reward where the head has one output, else attributes. */
  readonly type: ScoreType | null;
  /** Fixed labels; null: the one label is the type, and several are the config's. */
  readonly labels: readonly string[] | null;
  readonly read: ReadPosition;
  /** The family's own limit in tokens; null: the config's. */
  readonly maxLength: number | null;
  readonly truncation: {
    readonly side: TruncationSide;
    /** Whether a text above maxLength is cut without being asked; else it is an error. */
    readonly automatic: boolean;
  };
  readonly template: CardTemplate | CheckpointTemplate;
  /** What a number means, for people. */
  readonly meaning: string;
  /** Repository or directory names of this family, without their owner or path. */
  readonly repositories: readonly RegExp[];
  /** `architectures[0]` of the family's configs; a leading `*` stands for any backbone. */
  readonly architectures: readonly string[];
  /** Whether those architectures name the family where no repository name does; `likely`: with a warning. */
  readonly architectureIdentifies: "surely" | "likely" | "no";
  /** Models that have one of those architectures and are scored otherwise: their names, and how, for messages. */
  readonly others?: readonly { readonly name: RegExp; readonly how: string }[];
  /** The repository whose tokenizer and config serve checkpoints that have none of their own; default: none does. */
  readonly base?: string;
  /** Where the facts come from. */
  readonly source: string;
}
