/** Prefixes that stay in the KV cache after their rows are done, so that a later row need not compute them again. */
import type { Sequence, SequenceMemory } from "./sequence-memory.ts";

export interface CachedPrefix {
  tokens: Int32Array;
  sequence: Sequence;
  /** The count of computed tokens when it was last of use. */
  usedAt: number;
}

/** More are hardly ever of use, and every cell that is occupied costs attention time, whoever's it is. */
const MOST_PREFIXES = 8;
/**
 * An unused prefix goes after as many tokens were computed beside it as it has itself, within these bounds. Carrying a
 * cell costs each new token one more key to look at; computing it again costs a token.
 */
const SHORTEST_LIFE = 256;
const LONGEST_LIFE = 2048;

export class PrefixCache {
  readonly #memory: SequenceMemory;
  readonly #prefixes: CachedPrefix[] = [];
  #computed = 0;

  constructor(memory: SequenceMemory) {
    this.#memory = memory;
  }

  /** The prefix that shares the most tokens with `tokens`, and how many; null where none shares any. */
  find(tokens: Int32Array): { readonly prefix: CachedPrefix; readonly length: number } | null {
    let best: CachedPrefix | null = null;
    let length = 0;
    for (const prefix of this.#prefixes) {
      const common = commonPrefix(prefix.tokens, tokens);
      if (common > length) [best, length] = [prefix, common];
    }
    return best && { prefix: best, length };
  }

  /** Marks a prefix as used now. */
  touch(prefix: CachedPrefix): void {
    prefix.usedAt = this.#computed;
  }

  /** Keeps a finished row's sequence; the prefixes that it contains go, and the least recently used beyond the limit. */
  keep(tokens: Int32Array, sequence: Sequence): void {
    this.#drop((prefix) => commonPrefix(prefix.tokens, tokens) === prefix.tokens.length);
    this.#prefixes.push({ tokens, sequence, usedAt: this.#computed });
    if (this.#prefixes.length > MOST_PREFIXES) this.dropOldest();
  }

  /** Counts computed tokens and drops what has been carried beside too many of them. */
  age(tokens: number): void {
    this.#computed += tokens;
    this.#drop((prefix) => this.#computed > lastOf(prefix));
  }

  /**
   * Before rows are computed: of a prefix that would not outlive them, only what they share with it stays. Otherwise
   * every large call would begin beside the last text of the one before.
   */
  expect(rows: readonly { readonly tokens: Int32Array }[]): void {
    const end = this.#computed + rows.reduce((sum, { tokens }) => sum + tokens.length, 0);
    for (const prefix of this.#prefixes.filter((each) => end > lastOf(each))) {
      const shared = rows.reduce((most, { tokens }) => Math.max(most, commonPrefix(prefix.tokens, tokens)), 0);
      if (shared === 0) this.#drop((each) => each === prefix);
      else if (shared < prefix.tokens.length) this.#cut(prefix, shared);
    }
  }

  #cut(prefix: CachedPrefix, length: number): void {
    if (this.#memory.freeSequences === 0) return;
    const whole = prefix.sequence;
    prefix.sequence = this.#memory.open(whole, length);
    prefix.tokens = prefix.tokens.subarray(0, length);
    this.#memory.close(whole);
  }

  /** Frees the least recently used prefix; false where there is none. */
  dropOldest(): boolean {
    const [first] = this.#prefixes;
    if (!first) return false;
    const oldest = this.#prefixes.reduce((a, b) => (b.usedAt < a.usedAt ? b : a), first);
    this.#drop((prefix) => prefix === oldest);
    return true;
  }

  #drop(gone: (prefix: CachedPrefix) => boolean): void {
    for (let i = this.#prefixes.length - 1; i >= 0; i--) {
      const prefix = this.#prefixes[i] as CachedPrefix;
      if (!gone(prefix)) continue;
      this.#memory.close(prefix.sequence);
      this.#prefixes.splice(i, 1);
    }
  }
}

/** The count of computed tokens up to which a prefix stays without being of use. */
function lastOf({ tokens, usedAt }: CachedPrefix): number {
  return usedAt + Math.min(LONGEST_LIFE, Math.max(SHORTEST_LIFE, tokens.length));
}

/** How many tokens two sequences have in common from the start. */
export function commonPrefix(a: Int32Array, b: Int32Array): number {
  const most = Math.min(a.length, b.length);
  let i = 0;
  while (i < most && a[i] === b[i]) i++;
  return i;
}
