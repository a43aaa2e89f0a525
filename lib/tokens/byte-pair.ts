/**
 * Byte-level byte-pair encoding, as Hugging Face tokenizers computes it: words to bytes, bytes to tokens, and neighbours
 * joined in the order of the merges. llama.cpp's own would cut some texts into other words.
 */
import { ScoreheadError } from "../errors.ts";
import { type PreTokenizerRules, splitWords } from "./pre-tokenizer.ts";
import type { SubwordModel } from "./types.ts";

/** The vocabulary of a byte-level tokenizer. */
export interface BytePairVocabulary {
  /** Token texts by id, with GPT-2's characters for bytes. */
  readonly tokens: readonly string[];
  /** `"left right"`, the first to be joined first. */
  readonly merges: readonly string[];
}

/** Words repeat: the most that are remembered, and the longest one. */
const CACHED_WORDS = 16_384;
const CACHED_LENGTH = 64;

/** Ids of a merged word are found by joining; an entry of the queue is rank * POSITIONS + position. */
const POSITIONS = 2 ** 32;

/** GPT-2's visible character for each byte: itself where it is printable Latin-1, else one from U+0100 on. */
const BYTE_CHARACTERS: readonly string[] = (() => {
  let next = 256;
  const isPrintable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : next++));
})();

/**
 * The sub-word model of a byte-level vocabulary.
 *
 * @throws ERR_TOKENIZER where a merge names tokens that are not there, or is listed twice
 */
export function bytePairModel(vocabulary: BytePairVocabulary, rules: PreTokenizerRules): SubwordModel {
  const ids = new Map(vocabulary.tokens.map((token, id) => [token, id]));
  const merges = new MergeTable(vocabulary.merges, ids);
  const byteIds = byteIdsOf(ids);
  const cache = new Map<string, readonly number[]>();

  const wholeWords = rules.ignoreMerges ? ids : null;
  const encodeBytes = (bytes: Buffer): readonly number[] => {
    const whole = wholeWords?.get(Array.from(bytes, (byte) => BYTE_CHARACTERS[byte]).join(""));
    if (whole !== undefined) return [whole];
    // A byte without a token is left out, as in the original; some vocabularies lack those of unassigned planes.
    return join(
      Int32Array.from(bytes, (byte) => byteIds[byte] as number).filter((id) => id >= 0),
      merges,
    );
  };

  const encode = (word: string): readonly number[] => {
    const known = cache.get(word);
    if (known !== undefined) return known;
    const bytes = Buffer.from(word);
    const found = encodeBytes(bytes);
    if (word.length <= CACHED_LENGTH) {
      if (cache.size === CACHED_WORDS) cache.clear();
      // A copy: the word itself may be a slice, which keeps the whole text in memory.
      cache.set(bytes.toString(), found);
    }
    return found;
  };
  return { split: (text) => splitWords(text, rules), encode };
}

/** By byte; -1 where there is none. */
function byteIdsOf(ids: ReadonlyMap<string, number>): readonly number[] {
  return BYTE_CHARACTERS.map((character) => ids.get(character) ?? -1);
}

/** Joins neighbours, the pair of the lowest rank first and of equal ones the leftmost, until none is a merge. */
function join(ids: Int32Array, merges: MergeTable): number[] {
  const { length } = ids;
  // The neighbours that are left of each symbol that is left; a symbol that was joined to its left one has id -1.
  const left = Int32Array.from(ids, (_, i) => i - 1);
  const right = Int32Array.from(ids, (_, i) => i + 1);
  const queue = new MinHeap();
  const offer = (at: number): void => {
    const other = right[at] as number;
    if (at < 0 || other >= length) return;
    const rank = merges.rank(ids[at] as number, ids[other] as number);
    if (rank >= 0) queue.push(rank * POSITIONS + at);
  };
  for (let i = 0; i + 1 < length; i++) offer(i);
  for (let entry = queue.pop(); entry !== undefined; entry = queue.pop()) {
    const at = entry % POSITIONS;
    const rank = (entry - at) / POSITIONS;
    const other = right[at] as number;
    // An entry is out of date once one of its two symbols was joined to another.
    if (ids[at] === -1 || other >= length || merges.rank(ids[at] as number, ids[other] as number) !== rank) continue;
    ids[at] = merges.product(rank);
    ids[other] = -1;
    const after = right[other] as number;
    right[at] = after;
    if (after < length) left[after] = at;
    offer(left[at] as number);
    offer(at);
  }
  return Array.from(ids.filter((id) => id !== -1));
}

/** Ranks and products of the merges, in flat memory: vocabularies have some 300,000. */
class MergeTable {
  readonly #slots: Int32Array;
  readonly #mask: number;
  readonly #lefts: Int32Array;
  readonly #rights: Int32Array;
  readonly #products: Int32Array;

  constructor(merges: readonly string[], ids: ReadonlyMap<string, number>) {
    const size = 2 ** Math.ceil(Math.log2(2 * merges.length + 1));
    this.#slots = new Int32Array(size).fill(-1);
    this.#mask = size - 1;
    this.#lefts = new Int32Array(merges.length);
    this.#rights = new Int32Array(merges.length);
    this.#products = new Int32Array(merges.length);
    for (const [rank, merge] of merges.entries()) {
      const space = merge.indexOf(" ", 1);
      const parts = [merge.slice(0, space), merge.slice(space + 1), merge.slice(0, space) + merge.slice(space + 1)];
      const [leftId, rightId, product] = parts.map((part) => ids.get(part));
      if (space < 0 || leftId === undefined || rightId === undefined || product === undefined)
        throw broken(`the merge ${rank}, ${JSON.stringify(merge)}, of tokens that are not there`);
      this.#lefts[rank] = leftId;
      this.#rights[rank] = rightId;
      this.#products[rank] = product;
      const slot = this.#slotOf(leftId, rightId);
      if (this.#slots[slot] !== -1) throw broken(`the merge ${JSON.stringify(merge)} twice`);
      this.#slots[slot] = rank;
    }
  }

  /** The rank of a pair; -1 where it is no merge. */
  rank(leftId: number, rightId: number): number {
    return this.#slots[this.#slotOf(leftId, rightId)] as number;
  }

  product(rank: number): number {
    return this.#products[rank] as number;
  }

  /** The slot that a pair has, or would have. */
  #slotOf(leftId: number, rightId: number): number {
    let slot = (Math.imul(leftId, 0x9e3779b1) ^ Math.imul(rightId, 0x85ebca6b)) & this.#mask;
    for (;;) {
      const rank = this.#slots[slot] as number;
      if (rank === -1 || (this.#lefts[rank] === leftId && this.#rights[rank] === rightId)) return slot;
      slot = (slot + 1) & this.#mask;
    }
  }
}

/** A binary heap of numbers. */
class MinHeap {
  readonly #items: number[] = [];

  push(item: number): void {
    const items = this.#items;
    let at = items.push(item) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if ((items[parent] as number) <= item) break;
      items[at] = items[parent] as number;
      at = parent;
    }
    items[at] = item;
  }

  /** The least item; undefined where there is none. */
  pop(): number | undefined {
    const items = this.#items;
    const least = items[0];
    const item = items.pop();
    if (item === undefined || items.length === 0) return least;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && (items[child + 1] as number) < (items[child] as number)) child++;
      if ((items[child] as number) >= item) break;
      items[at] = items[child] as number;
      at = child;
    }
    items[at] = item;
    return least;
  }
}

function broken(what: string): ScoreheadError {
  return new ScoreheadError("ERR_TOKENIZER", `The byte-level vocabulary has ${what}.`);
}
