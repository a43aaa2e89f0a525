/**
 * Finding added tokens in a text, to the letter of Hugging Face tokenizers' `AddedVocabulary::find_matches`
 * (tokenizers/src/tokenizer/added_vocabulary.rs, 0.23).
 */
import type { AddedToken } from "./types.ts";

/** A part of a text, as UTF-16 offsets: an added token, or a stretch between them (`id` null). */
export interface Split {
  readonly id: number | null;
  readonly start: number;
  readonly end: number;
}

interface Node {
  readonly next: Map<number, Node>;
  token: AddedToken | null;
}

/** The patterns of a set of added tokens, ready to be searched for. */
export interface Matcher {
  readonly root: Node;
}

/**
 * A matcher for `tokens`, each under the text that `pattern` gives for it; tokens without content are left out, as
 * nothing can match them.
 */
export function createMatcher(tokens: readonly AddedToken[], pattern: (content: string) => string): Matcher {
  const root: Node = { next: new Map(), token: null };
  for (const token of tokens) {
    if (token.content === "") continue;
    let node = root;
    const text = pattern(token.content);
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      let child = node.next.get(unit);
      if (child === undefined) {
        child = { next: new Map(), token: null };
        node.next.set(unit, child);
      }
      node = child;
    }
    node.token = token;
  }
  return { root };
}

/**
 * Splits a text on added tokens: leftmost match first, the longest of those that start there, without overlaps.
 *
 * `singleWord` drops a match with a word character next to it (what it covered is not searched again); `lstrip` and
 * `rstrip` extend a match over the white space beside it. White space that `rstrip` takes stays open to the next match,
 * as in the original, so a token of spaces can still be found in it.
 *
 * @returns the parts in order; empty stretches are left out
 */
export function splitOnAddedTokens(text: string, { root }: Matcher): Split[] {
  const splits: Split[] = [];
  let done = 0; // everything before this offset is in `splits`
  let at = 0;
  while (at < text.length) {
    const match = longestMatch(text, at, root);
    if (match === null) {
      at++;
      continue;
    }
    const { token } = match;
    let start = at;
    let end = match.end;
    at = end;
    if (token.singleWord && (endsWithWord(text, start) || startsWithWord(text, end))) continue;
    if (token.lstrip) {
      while (start > done && isSpace(text, start - 1)) start--;
      start = Math.max(start, done); // the match before may have taken that space, and more, already
    }
    if (token.rstrip) while (end < text.length && isSpace(text, end)) end++;
    if (done < start) splits.push({ id: null, start: done, end: start });
    // Where the match before has taken all of this one's text, the original drops it as an empty split.
    if (start < end) splits.push({ id: token.id, start, end });
    done = end;
  }
  if (done !== text.length) splits.push({ id: null, start: done, end: text.length });
  return splits;
}

function longestMatch(text: string, start: number, root: Node): { token: AddedToken; end: number } | null {
  let longest: { token: AddedToken; end: number } | null = null;
  let node: Node | undefined = root;
  for (let i = start; i < text.length; i++) {
    node = node.next.get(text.charCodeAt(i));
    if (node === undefined) break;
    if (node.token !== null) longest = { token: node.token, end: i + 1 };
  }
  return longest;
}

// \w and \s of Rust's regex crate; JavaScript's are narrower.
const WORD = String.raw`[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]`;
const WORD_AT_END = new RegExp(`${WORD}$`, "u");
const WORD_AT_START = new RegExp(`^${WORD}`, "u");
const SPACE = /\p{White_Space}/u; // all of them are one UTF-16 unit long

/** Whether the character before `end` belongs to a word. */
function endsWithWord(text: string, end: number): boolean {
  return WORD_AT_END.test(text.slice(Math.max(0, end - 2), end));
}

/** Whether the character at `start` belongs to a word. */
function startsWithWord(text: string, start: number): boolean {
  return WORD_AT_START.test(text.slice(start, start + 2));
}

function isSpace(text: string, i: number): boolean {
  return SPACE.test(text.charAt(i));
}
