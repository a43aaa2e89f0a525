/** Reading the tokenizer of a checkpoint directory, from whichever files its generation left there. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ioError, ScoreheadError } from "../errors.ts";
import { readJsonIfPresent } from "./json.ts";
import { parseSentencePiece } from "./sentencepiece.ts";
import { type TokenizerDefinition, tokenizerFail } from "./tokenizer-definition.ts";
import { parseTokenizerJson } from "./tokenizer-json.ts";
import {
  addListedTokens,
  bosAndEos,
  configTemplate,
  refuseOtherPrefix,
  roleIds,
  type TokenizerSettings,
} from "./tokenizer-settings.ts";
import type { CheckpointTokenizer, JsonObject } from "./types.ts";

/**
 * The tokenizer in `directory`: tokenizer.json, or tokenizer.model where there is none, with the settings of
 * tokenizer_config.json, special_tokens_map.json, added_tokens.json and config.json.
 *
 * A definition is recognised exactly or refused; nothing about it is guessed.
 *
 * @throws ERR_TOKENIZER where there is no tokenizer, or naming the field that is malformed or unknown; ERR_CONFIG
 *   (malformed config.json), ERR_IO
 */
export async function readTokenizer(directory: string): Promise<CheckpointTokenizer> {
  const settings = await readSettings(directory);
  const own = await readDefinition(directory, settings.tokenizerConfig);
  const fail = tokenizerFail(join(directory, own.file));
  refuseOtherPrefix(own, settings, fail);
  const definition = addListedTokens(own, settings, fail);
  const roles = roleIds(definition, settings, fail);
  const { prefixId: _, suffixId: __, roles: ___, ...facts } = definition;
  const scores = new Float32Array(facts.tokens.length);
  scores.set(facts.scores);
  return {
    ...facts,
    scores,
    ...bosAndEos(definition, settings, roles, fail),
    ...roles,
    // A template file of its own takes precedence in transformers too.
    chatTemplate: (await readIfPresent(join(directory, "chat_template.jinja")))?.toString() ?? configTemplate(settings),
  };
}

async function readSettings(directory: string): Promise<TokenizerSettings> {
  const read = async (name: string, code: "ERR_TOKENIZER" | "ERR_CONFIG" = "ERR_TOKENIZER"): Promise<JsonObject> =>
    (await readJsonIfPresent(join(directory, name), code)) ?? {};
  return {
    tokenizerConfig: await read("tokenizer_config.json"),
    specialTokensMap: await read("special_tokens_map.json"),
    addedTokens: await read("added_tokens.json"),
    config: await read("config.json", "ERR_CONFIG"),
  };
}

async function readDefinition(directory: string, tokenizerConfig: JsonObject): Promise<TokenizerDefinition> {
  const jsonPath = join(directory, "tokenizer.json");
  const json = await readJsonIfPresent(jsonPath, "ERR_TOKENIZER");
  if (json !== null) return parseTokenizerJson(jsonPath, json);
  const modelPath = join(directory, "tokenizer.model");
  const model = await readIfPresent(modelPath);
  if (model !== null) return parseSentencePiece(modelPath, model, tokenizerConfig);
  throw new ScoreheadError(
    "ERR_TOKENIZER",
    `${directory} has no tokenizer (looked for tokenizer.json, tokenizer.model). Name the directory that has it, such as the base model's, with \`--tokenizer <dir>\`.`,
  );
}

async function readIfPresent(path: string): Promise<Buffer | null> {
  try {
    return await readFile(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw ioError("read", path, cause);
  }
}
