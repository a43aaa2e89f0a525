/** Stripping texts in templates to the letter of Python's `str.strip`, `lstrip`, `rstrip` and Jinja's `trim`. */
import type { JinjaNode } from "./jinja.ts";

/** Python's `str.isspace`, which is not JavaScript's `\s`. */
const WHITESPACE = new Set(
  "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a" +
    "\u2028\u2029\u202f\u205f\u3000",
);

type Side = "both" | "start" | "end";

const METHODS: ReadonlyMap<unknown, Side> = new Map([
  ["strip", "both"],
  ["lstrip", "start"],
  ["rstrip", "end"],
]);

/**
 * @param characters those to strip; null: white space
 * @throws Error where `characters` is neither a text nor null
 */
export function pythonStrip(text: string, side: Side, characters: unknown): string {
  if (characters !== null && typeof characters !== "string") throw new Error("strip takes a text");
  const stripped = characters === null ? WHITESPACE : new Set(characters);
  let start = 0;
  let end = text.length;
  while (side !== "end" && start < end) {
    const first = String.fromCodePoint(text.codePointAt(start) as number);
    if (!stripped.has(first)) break;
    start += first.length;
  }
  while (side !== "start" && start < end) {
    const last = Array.from(text.slice(Math.max(start, end - 2), end)).at(-1) as string;
    if (!stripped.has(last)) break;
    end -= last.length;
  }
  return text.slice(start, end);
}

/** What of a node tells a strip. */
interface StripNode extends JinjaNode {
  readonly args?: readonly JinjaNode[];
  readonly callee?: StripNode;
  readonly computed?: boolean;
  readonly object?: JinjaNode;
  readonly property?: JinjaNode;
  readonly operand?: JinjaNode;
  readonly filter?: StripNode;
}

/** A strip: of what, where, and which characters. */
export interface Strip {
  readonly operand: JinjaNode;
  readonly side: Side;
  readonly characters: JinjaNode | undefined;
}

/** The strip that a node is: a call of a method, or the filter `trim`; null: it is something else. */
export function findStrip(node: JinjaNode | undefined): Strip | null {
  const { type, callee, args, operand, filter } = (node ?? {}) as Partial<StripNode>;
  if (type === "CallExpression" && callee?.type === "MemberExpression" && !callee.computed) {
    const side = METHODS.get(callee.property?.value);
    return side && callee.object ? { operand: callee.object, side, characters: args?.[0] } : null;
  }
  if (type !== "FilterExpression" || !operand || !filter) return null;
  const name = filter.type === "CallExpression" ? filter.callee?.value : filter.value;
  return name === "trim" ? { operand, side: "both", characters: filter.args?.[0] } : null;
}
