/** Reading tokenizer.model, SentencePiece's protobuf (sentencepiece_model.proto): BPE with byte fallback only. */
import { PbfReader } from "pbf";
import type { AddedToken } from "../tokens/types.ts";
import {
  requireByteTokens,
  requireUnicode,
  type TokenizerDefinition,
  type TokenizerFail,
  tokenizerFail,
} from "./tokenizer-definition.ts";
import { isInternLm2 } from "./tokenizer-settings.ts";
import type { JsonObject, TokenKind } from "./types.ts";

/** `TrainerSpec.ModelType`, by number. */
const MODEL_TYPES = ["", "UNIGRAM", "BPE", "WORD", "CHAR"] as const;

/** `SentencePiece.Type`, by number; UNUSED (5) has no equivalent here. */
const PIECE_KINDS: ReadonlyMap<number, TokenKind> = new Map([
  [1, "normal"],
  [2, "unknown"],
  [3, "control"],
  [4, "user"],
  [6, "byte"],
]);

interface Piece {
  text: string;
  score: number;
  type: number;
}

/** The fields read, under the proto's own names, with its defaults. */
interface ModelProto {
  readonly pieces: Piece[];
  trainer: { modelType: number; byteFallback: boolean; whitespaceAsSuffix: boolean; roles: number[] };
  normalizer: { charsmapBytes: number; addDummyPrefix: boolean; removeExtraWhitespaces: boolean; escape: boolean };
}

/**
 * The tokenizer that `bytes`, the content of the tokenizer.model at `path`, defines. Its scores are the pieces' own.
 *
 * @param settings tokenizer_config.json's: `legacy` (default true) gives every stretch between special tokens a space
 *   prefix, else only the text's beginning has one; `add_prefix_space: false` none at all; InternLM2's class
 * @throws ERR_TOKENIZER naming what is malformed or unknown
 */
export function parseSentencePiece(path: string, bytes: Uint8Array, settings: JsonObject): TokenizerDefinition {
  const fail = tokenizerFail(path);
  const { pieces, trainer, normalizer } = decode(bytes, fail);
  if (trainer.modelType !== 2)
    throw fail(`its model type is ${MODEL_TYPES[trainer.modelType] ?? trainer.modelType}, not BPE`);
  if (!trainer.byteFallback) throw fail("it has no byte fallback");
  if (trainer.whitespaceAsSuffix) throw fail("it puts white space at the end of words");
  if (normalizer.charsmapBytes > 0) throw fail("it has a character map (such as NFKC)");
  if (normalizer.removeExtraWhitespaces) throw fail("it removes extra white space");
  if (!normalizer.escape) throw fail("it does not write spaces as ▁");
  const tokens = pieces.map(({ text }) => text);
  // InternLM2's converter makes added tokens of those alone that tokenizer_config.json lists.
  const userKind = isInternLm2(settings) ? "normal" : "user";
  const kinds = pieces.map(({ text, type }): TokenKind => {
    const kind = PIECE_KINDS.get(type);
    if (kind === undefined) throw fail(`its piece ${JSON.stringify(text)} has the type ${type}`);
    // Versions of transformers differ in whether it is found where the text has spaces.
    if (kind === "user" && text.includes("▁"))
      throw fail(`it has the user-defined symbol ${JSON.stringify(text)}, which only a tokenizer.json makes certain`);
    return kind === "user" ? userKind : kind;
  });
  const ids = idsOf(tokens, fail);
  requireByteTokens(ids, fail);
  requireUnicode(tokens, fail);
  const [unkId = null, bosId = null, eosId = null, padId = null] = trainer.roles.map((id) =>
    id in tokens ? id : null,
  );
  return {
    file: "tokenizer.model",
    tokens,
    scores: pieces.map(({ score }, id) => (kinds[id] === "normal" ? score : 0)),
    merges: [],
    kinds,
    addedTokens: addedTokensOf(tokens, kinds),
    spacePrefix: prefixOf(normalizer.addDummyPrefix, settings),
    preTokenizer: null,
    // LlamaTokenizer's defaults: add_bos_token true, add_eos_token false.
    prefixId: bosId,
    suffixId: null,
    roles: { unkId, bosId, eosId, padId },
  };
}

function prefixOf(
  addDummyPrefix: boolean,
  { legacy, add_prefix_space }: JsonObject,
): TokenizerDefinition["spacePrefix"] {
  if (!addDummyPrefix || add_prefix_space === false) return "none";
  return legacy === false ? "first" : "each";
}

/** SentencePiece matches its control and user-defined symbols in the raw text, as transformers does. */
function addedTokensOf(tokens: readonly string[], kinds: readonly TokenKind[]): AddedToken[] {
  return tokens.flatMap((content, id) => {
    const kind = kinds[id];
    if (kind === "normal" || kind === "byte" || content === "") return [];
    const flags = { normalized: false, lstrip: false, rstrip: false, singleWord: false };
    return [{ id, content, special: kind !== "user", ...flags }];
  });
}

function idsOf(tokens: readonly string[], fail: TokenizerFail): Map<string, number> {
  const ids = new Map<string, number>();
  for (const [id, token] of tokens.entries()) {
    if (ids.has(token)) throw fail(`it has the piece ${JSON.stringify(token)} twice`);
    ids.set(token, id);
  }
  if (ids.size === 0) throw fail("it has no pieces");
  return ids;
}

function decode(bytes: Uint8Array, fail: TokenizerFail): ModelProto {
  const model: ModelProto = {
    pieces: [],
    trainer: { modelType: 1, byteFallback: false, whitespaceAsSuffix: false, roles: [0, 1, 2, -1] },
    normalizer: { charsmapBytes: 0, addDummyPrefix: true, removeExtraWhitespaces: true, escape: true },
  };
  try {
    readMessage(new PbfReader(bytes), bytes.length, (field, pbf, end) => {
      if (field === 1) model.pieces.push(readPiece(pbf, end()));
      if (field === 2) readTrainer(pbf, end(), model.trainer);
      if (field === 3) readNormalizer(pbf, end(), model.normalizer);
    });
  } catch (cause) {
    throw fail(`it is not a SentencePiece model (${(cause as Error).message})`, cause);
  }
  return model;
}

/**
 * Reads the fields up to `end` and proves that they end exactly there: the library itself reads on into what follows.
 * `onField` calls its last argument for the end of an embedded message.
 */
function readMessage(
  pbf: PbfReader,
  end: number,
  onField: (field: number, pbf: PbfReader, messageEnd: () => number) => void,
): void {
  const messageEnd = () => pbf.readVarint() + pbf.pos;
  for (let field = pbf.nextField(end); field !== 0; field = pbf.nextField(end)) onField(field, pbf, messageEnd);
  if (pbf.pos !== end) throw new Error(`a field ends at byte ${pbf.pos} instead of ${end}`);
}

function readPiece(pbf: PbfReader, end: number): Piece {
  const piece: Piece = { text: "", score: 0, type: 1 };
  readMessage(pbf, end, (field) => {
    if (field === 1) piece.text = pbf.readString();
    if (field === 2) piece.score = pbf.readFloat();
    if (field === 3) piece.type = pbf.readVarint();
  });
  return piece;
}

function readTrainer(pbf: PbfReader, end: number, trainer: ModelProto["trainer"]): void {
  readMessage(pbf, end, (field) => {
    if (field === 3) trainer.modelType = pbf.readVarint();
    if (field === 24) trainer.whitespaceAsSuffix = pbf.readBoolean();
    if (field === 35) trainer.byteFallback = pbf.readBoolean();
    // unk_id, bos_id, eos_id, pad_id; -1 stands for none.
    if (field >= 40 && field <= 43) trainer.roles[field - 40] = pbf.readVarint(true);
  });
}

function readNormalizer(pbf: PbfReader, end: number, normalizer: ModelProto["normalizer"]): void {
  readMessage(pbf, end, (field) => {
    if (field === 2) normalizer.charsmapBytes = pbf.readBytes().length;
    if (field === 3) normalizer.addDummyPrefix = pbf.readBoolean();
    if (field === 4) normalizer.removeExtraWhitespaces = pbf.readBoolean();
    if (field === 5) normalizer.escape = pbf.readBoolean();
  });
}
