/**
 * The settings beside a tokenizer: tokenizer_config.json, special_tokens_map.json, added_tokens.json and config.json.
 * Which file says what has changed with the years; every generation's place is looked at, in a fixed order.
 */
import type { AddedToken, PreTokenizer } from "../tokens/types.ts";
import { isObject } from "./json.ts";
import { addedKind, type RoleIds, type TokenizerDefinition, type TokenizerFail } from "./tokenizer-definition.ts";
import type { JsonObject } from "./types.ts";

/** The parsed files; empty objects where there is none. */
export interface TokenizerSettings {
  readonly tokenizerConfig: JsonObject;
  readonly specialTokensMap: JsonObject;
  readonly addedTokens: JsonObject;
  readonly config: JsonObject;
}

const ROLES = ["bos", "eos", "unk", "pad"] as const;
type Role = (typeof ROLES)[number];

/** Whether transformers loads the tokenizer with the class that InternLM2's repositories bring along. */
export function isInternLm2({ tokenizer_class: name }: JsonObject): boolean {
  return typeof name === "string" && /^InternLM2Tokenizer(Fast)?$/.test(name);
}

/**
 * Adds the tokens that only `added_tokens_decoder`, added_tokens.json and the names of special tokens list. A token that
 * the tokenizer's own file lists as added keeps the flags it has there, as in transformers.
 */
export function addListedTokens(
  definition: TokenizerDefinition,
  settings: TokenizerSettings,
  fail: TokenizerFail,
): TokenizerDefinition {
  const tokens = [...definition.tokens];
  const kinds = [...definition.kinds];
  const addedTokens = [...definition.addedTokens];
  const known = new Set(addedTokens.map(({ content }) => content));
  const ids = new Map(tokens.map((token, id) => [token, id]));
  // InternLM2's converter renames the pieces that are kept free in its tokenizer.model.
  const renames = definition.file === "tokenizer.model" && isInternLm2(settings.tokenizerConfig);
  const listed = listedTokens(settings, fail);
  for (const token of [...listed, ...namedTokens(settings, ids, listed)]) {
    const { id, content } = token;
    if (id > tokens.length)
      throw fail(`${content} is added with the id ${id}, but the ids before it end at ${tokens.length - 1}`);
    if (((tokens[id] ?? content) !== content && !renames) || (ids.get(content) ?? id) !== id)
      throw fail(`${content} is added with the id ${id}, which contradicts the vocabulary`);
    if (known.has(content)) continue;
    ids.delete(tokens[id] ?? content);
    tokens[id] = content;
    kinds[id] = addedKind(token, kinds[id] === "unknown");
    ids.set(content, id);
    known.add(content);
    addedTokens.push(token);
  }
  addedTokens.sort((a, b) => a.id - b.id);
  return { ...definition, tokens, kinds, addedTokens };
}

/** By ascending id; `added_tokens_decoder` has the flags and so comes before added_tokens.json at the same id. */
function listedTokens(settings: TokenizerSettings, fail: TokenizerFail): AddedToken[] {
  const decoder = settings.tokenizerConfig.added_tokens_decoder ?? {};
  if (!isObject(decoder)) throw fail("tokenizer_config.json's added_tokens_decoder is not an object");
  const special = new Set([...ROLES.flatMap((role) => tokenNames(settings, role)), ...additionalNames(settings)]);
  const tokens: AddedToken[] = Object.entries(decoder).map(([id, entry]) => {
    if (!isObject(entry) || typeof entry.content !== "string" || entry.content === "")
      throw fail(`tokenizer_config.json's added_tokens_decoder has no content for ${id}`);
    const flag = (name: string, absent: boolean) => (typeof entry[name] === "boolean" ? entry[name] : absent);
    return {
      id: Number(id),
      content: entry.content,
      special: flag("special", false),
      // transformers' AddedToken: normalised unless special.
      normalized: flag("normalized", !flag("special", false)),
      lstrip: flag("lstrip", false),
      rstrip: flag("rstrip", false),
      singleWord: flag("single_word", false),
    };
  });
  for (const [content, id] of Object.entries(settings.addedTokens)) {
    const isSpecial = special.has(content);
    const flags = { special: isSpecial, normalized: !isSpecial, lstrip: false, rstrip: false, singleWord: false };
    tokens.push({ id: id as number, content, ...flags });
  }
  for (const { id, content } of tokens)
    if (!Number.isSafeInteger(id) || id < 0) throw fail(`${content} is added with the id ${JSON.stringify(id)}`);
  return tokens.sort((a, b) => a.id - b.id);
}

/** Tokens of the vocabulary that are added because a setting names them as special. */
function namedTokens(
  settings: TokenizerSettings,
  ids: ReadonlyMap<string, number>,
  listed: readonly AddedToken[],
): AddedToken[] {
  const names = new Set([...ROLES.flatMap((role) => tokenNames(settings, role)), ...additionalNames(settings)]);
  for (const { content } of listed) names.delete(content);
  const flags = { special: true, normalized: false, lstrip: false, rstrip: false, singleWord: false };
  return [...names].flatMap((content) => {
    const id = ids.get(content);
    return id === undefined ? [] : [{ id, content, ...flags }];
  });
}

/**
 * The ids of BOS, EOS, unknown and padding token: by name, then by config.json's id, then by the tokenizer itself. A
 * tokenizer_config.json that has null for a name, as Qwen's for BOS, says that there is none.
 */
export function roleIds(definition: TokenizerDefinition, settings: TokenizerSettings, fail: TokenizerFail): RoleIds {
  const ids = new Map(definition.tokens.map((token, id) => [token, id]));
  const idOf = (role: Role): number | null => {
    const [name] = tokenNames(settings, role);
    if (name !== undefined) {
      const id = ids.get(name);
      if (id === undefined) throw fail(`its ${role}_token ${JSON.stringify(name)} is not in the vocabulary`);
      return id;
    }
    if (settings.tokenizerConfig[`${role}_token`] === null) return definition.roles[`${role}Id`];
    return configId(definition, settings.config, role, fail) ?? definition.roles[`${role}Id`];
  };
  return { bosId: idOf("bos"), eosId: idOf("eos"), unkId: idOf("unk"), padId: idOf("pad") };
}

/** What the token with a role is called, by falling priority. */
function tokenNames({ tokenizerConfig, specialTokensMap }: TokenizerSettings, role: Role): string[] {
  return [tokenizerConfig[`${role}_token`], specialTokensMap[`${role}_token`]].flatMap(nameOf);
}

/** What the special tokens without a role are called. */
function additionalNames({ tokenizerConfig, specialTokensMap }: TokenizerSettings): string[] {
  const lists = [tokenizerConfig.additional_special_tokens, specialTokensMap.additional_special_tokens];
  return lists.flatMap((list) => (Array.isArray(list) ? list.flatMap(nameOf) : []));
}

/** A token is named by its text or by an object with its flags. */
function nameOf(named: unknown): string[] {
  const name = isObject(named) ? named.content : named;
  return typeof name === "string" && name !== "" ? [name] : [];
}

/** config.json's id. -1 stands for none in older Llama configs; several EOS ids are for generating, and name no one token. */
function configId(definition: TokenizerDefinition, config: JsonObject, role: Role, fail: TokenizerFail): number | null {
  const id = config[`${role}_token_id`];
  if (typeof id !== "number" || id === -1) return null;
  if (!(id in definition.tokens))
    throw fail(`config.json's ${role}_token_id ${id} is not in the vocabulary of ${definition.tokens.length} tokens`);
  return id;
}

/** Classes whose own BOS and EOS settings replace the post-processor of tokenizer.json when transformers loads them. */
const LLAMA_CLASSES = /^(Llama|CodeLlama|Gemma|InternLM2)Tokenizer(Fast)?$/;

/** Whether BOS goes before and EOS after every text. */
export function bosAndEos(
  definition: TokenizerDefinition,
  { tokenizerConfig }: TokenizerSettings,
  { bosId, eosId }: RoleIds,
  fail: TokenizerFail,
): { addBos: boolean; addEos: boolean } {
  const { prefixId, suffixId } = definition;
  const { tokenizer_class: name, add_bos_token, add_eos_token } = tokenizerConfig;
  const isLlama = typeof name === "string" && LLAMA_CLASSES.test(name);
  const own = (setting: unknown) => (isLlama && typeof setting === "boolean" ? setting : null);
  const addBos = own(add_bos_token) ?? prefixId !== null;
  const addEos = own(add_eos_token) ?? suffixId !== null;
  if (addBos && (bosId === null || (own(add_bos_token) === null && prefixId !== bosId)))
    throw fail(`it puts the token ${prefixId ?? "BOS"} before a text, but its BOS is ${bosId ?? "missing"}`);
  if (addEos && (eosId === null || (own(add_eos_token) === null && suffixId !== eosId)))
    throw fail(`it puts the token ${suffixId ?? "EOS"} after a text, but its EOS is ${eosId ?? "missing"}`);
  return { addBos, addEos };
}

/** Byte-level tokenizers that are a single step, in which transformers replaces the setting. */
const SINGLE_STEP: readonly (PreTokenizer | null)[] = ["gpt-2", "olmo"];

/** Throws where tokenizer_config.json makes transformers put a space before texts, or none, against tokenizer.json. */
export function refuseOtherPrefix(
  { file, spacePrefix, preTokenizer }: TokenizerDefinition,
  { tokenizerConfig }: TokenizerSettings,
  fail: TokenizerFail,
): void {
  const { tokenizer_class: name, add_prefix_space: adds } = tokenizerConfig;
  if (file !== "tokenizer.json" || typeof adds !== "boolean") return;
  // Llama's classes convert the slow tokenizer anew where this is set at all.
  const isReplaced =
    preTokenizer === null ? /^(Code)?LlamaTokenizer(Fast)?$/.test(`${name}`) : SINGLE_STEP.includes(preTokenizer);
  if (isReplaced && adds !== (spacePrefix !== "none"))
    throw fail(`tokenizer_config.json's add_prefix_space is ${adds}, which the file itself contradicts`);
}

/** tokenizer_config.json's template: a string, or a list of named ones of which "default" is meant. */
export function configTemplate({ tokenizerConfig }: TokenizerSettings): string | null {
  const { chat_template: template } = tokenizerConfig;
  const chosen = Array.isArray(template)
    ? template.filter(isObject).find(({ name }) => name === "default")?.template
    : template;
  return typeof chosen === "string" ? chosen : null;
}
