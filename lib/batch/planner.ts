/**
 * Rows → prefix tree → micro-batches. Each distinct prefix is computed once.
 *
 * Rows come in windows, whenever the one before is used up and a micro-batch still has room. A window is walked in lexicographic order, which is the tree in depth-first order: a row shares more with
 * the row before it than with any earlier one. What they share is either in the cache already, and the row's sequence
 * is made a copy of that part (llama.cpp copies no data, only marks the cells), or it is being computed in the same
 * micro-batch, and its tokens carry both rows' sequence ids. Besides that one predecessor and the prefix cache, nothing
 * that is done stays in the cache: attention looks at every occupied cell, whoever's it is.
 */
import { ScoreheadError } from "../errors.ts";
import { MEMORY_OP } from "../runtime/contract.ts";
import { type Entry, MicroBatch } from "./micro-batch.ts";
import { commonPrefix, PrefixCache } from "./prefix-cache.ts";
import { type Sequence, SequenceMemory } from "./sequence-memory.ts";
import {
  type BatchLimits,
  type CardRead,
  OUTSIDE_TEXT,
  type PlannedBatch,
  type Row,
  type SharedOutputs,
} from "./types.ts";

/** Counts since the planner was made. */
export interface PlannerStats {
  /** Tokens of the rows that were taken. */
  readonly asked: number;
  /** Tokens that were computed. */
  readonly computed: number;
}

/** A row on its way through the cache. */
interface Active {
  readonly row: Row;
  readonly sequence: Sequence;
  /** Its tokens, or as many of them as its outputs need. */
  readonly length: number;
  /** Tokens that were in the cache before the batch that is being built. */
  before: number;
  /** The batch's entries of its tokens from `before` on. */
  path: Entry[];
  /** What is left of a card reading once the text is in the cache. */
  card: "none" | "placeholder" | "reading" | "done";
}

/** Card readings are gathered, because moving a placeholder makes llama.cpp rotate the whole cache. */
const CARDS_AT_ONCE = 16;
/** Rows that need no computing end a plan after so many, so that the event loop has its turn. */
const MOST_FINISHED = 512;
const CLEAR: readonly number[] = [MEMORY_OP.remove, -1, -1, -1, 0];

/** Hands out the next rows to compute together, in any order; none: there are no more for now. */
export type NextRows = () => readonly Row[];

export class Planner {
  readonly #limits: BatchLimits;
  readonly #nextRows: NextRows;
  #memory: SequenceMemory;
  #cache: PrefixCache;
  /** In lexicographic order; those before `#next` have been admitted. */
  #window: Row[] = [];
  #next = 0;
  /** The row whose text is being computed, or the last one that was: the next row's best source. */
  #current: Active | null = null;
  /** Rows that may have come to their end with the last batch. */
  #ended: Active[] = [];
  /** Card readings whose text and placeholder are in the cache, and those that the batch being built adds. */
  #cards: Active[] = [];
  #newCards: Active[] = [];
  /** Whether the cache has to be cleared before anything else. */
  #clear = true;
  #asked = 0;
  #computed = 0;

  /** @param nextRows rows that fit the context */
  constructor(limits: BatchLimits, nextRows: NextRows) {
    this.#limits = limits;
    this.#nextRows = nextRows;
    this.#memory = new SequenceMemory(limits.sequences);
    this.#cache = new PrefixCache(this.#memory);
  }

  get stats(): PlannerStats {
    return { asked: this.#asked, computed: this.#computed };
  }

  /** Takes rows out of the window, as far as they are not planned yet. */
  drop(gone: (row: Row) => boolean): void {
    this.#window = this.#window.slice(this.#next).filter((row) => !gone(row));
    this.#next = 0;
    for (const active of [...this.#cards, ...this.#newCards]) if (gone(active.row)) this.#endCard(active);
    this.#cards = this.#cards.filter(({ card }) => card === "reading");
    this.#newCards = this.#newCards.filter(({ card }) => card === "reading");
    if (this.#current && isUnfinished(this.#current) && gone(this.#current.row)) {
      this.#memory.close(this.#current.sequence);
      this.#current = null;
    }
  }

  /** Forgets everything, planned or cached: after an error the cache's content is unknown. */
  reset(): void {
    this.#memory = new SequenceMemory(this.#limits.sequences);
    this.#cache = new PrefixCache(this.#memory);
    this.#window = [];
    this.#next = 0;
    this.#current = null;
    this.#ended = [];
    this.#cards = [];
    this.#newCards = [];
    this.#clear = true;
  }

  /** The next micro-batch, or null where there are no rows. The one before has been computed. */
  plan(): PlannedBatch | null {
    if (this.#isIdle && !this.#refill()) return null;
    this.#retire();
    this.#cards.push(...this.#newCards.splice(0));
    const batch = new MicroBatch(this.#limits);
    const shared: SharedOutputs[] = [];
    const finished: Row[] = [];
    if (this.#current) {
      this.#current.before += this.#current.path.length;
      this.#current.path = [];
      if (isUnfinished(this.#current)) this.#extend(this.#current, batch, finished);
    }
    while (
      !this.#isCurrentUnfinished &&
      finished.length < MOST_FINISHED &&
      (this.#next < this.#window.length || this.#refill())
    ) {
      if (!this.#admit(this.#window[this.#next] as Row, batch, shared, finished)) break;
      this.#next++;
    }
    if (this.#cards.length >= CARDS_AT_ONCE || this.#textsDone || batch.tokens === 0) this.#readCards(batch, finished);
    return this.#emit(batch, shared, finished);
  }

  get #isCurrentUnfinished(): boolean {
    return this.#current !== null && isUnfinished(this.#current);
  }

  get #textsDone(): boolean {
    return this.#next === this.#window.length && !this.#isCurrentUnfinished;
  }

  get #isIdle(): boolean {
    return this.#textsDone && this.#cards.length === 0 && this.#newCards.length === 0;
  }

  /** Takes the next window, in lexicographic order; false where there is none. */
  #refill(): boolean {
    const rows = this.#nextRows();
    this.#window = [...rows].sort((a, b) => compareTokens(a.tokens, b.tokens));
    this.#next = 0;
    return rows.length > 0;
  }

  #emit(batch: MicroBatch, shared: SharedOutputs[], finished: Row[]): PlannedBatch {
    if (batch.tokens === 0) {
      if (finished.length === 0)
        throw new ScoreheadError("ERR_INTERNAL", "No micro-batch can be planned. Please report this.");
      return { native: null, deliveries: [], shared, finished };
    }
    const operations = this.#memory.takeOperations();
    const memory = this.#clear ? Int32Array.of(...CLEAR, ...operations) : operations;
    this.#clear = false;
    this.#computed += batch.tokens;
    this.#cache.age(batch.tokens);
    return { ...batch.build(memory), shared, finished };
  }

  /** Frees or caches the sequences of rows that have ended and that nobody needs as a source. */
  #retire(): void {
    for (const active of new Set(this.#ended.splice(0))) {
      if (active === this.#current || active.card === "reading") continue; // its other end comes later
      if (active.row.keep) this.#cache.keep(active.row.tokens.subarray(0, active.length), active.sequence);
      else this.#memory.close(active.sequence);
    }
  }

  /** Takes a row into the batch, as far as there is room; false where it has to wait for the next one. */
  #admit(row: Row, batch: MicroBatch, shared: SharedOutputs[], finished: Row[]): boolean {
    if (this.#memory.freeSequences === 0 || !batch.hasRoom(false)) return false;
    const previous = this.#current;
    const length = neededLength(row);
    const reuse = reuseOf(previous, row, length);
    const cached = this.#cache.find(row.tokens);
    const fromCache = cached ? Math.min(cached.length, firstNeeded(row)) : 0;
    const useCache = cached !== null && fromCache > reuse.copied + reuse.inBatch;
    if (!useCache && previous && reuse.copied === length) {
      shared.push({ from: previous.row, to: row, count: length });
      finished.push(row);
      this.#asked += row.tokens.length;
      return true;
    }
    if (useCache) this.#cache.touch(cached.prefix);
    const before = useCache ? fromCache : reuse.copied;
    const source = useCache ? cached.prefix.sequence : previous?.sequence;
    const sequence = this.#memory.open(source, before);
    const active: Active = {
      row,
      sequence,
      length,
      before,
      path: [],
      card: typeof row.read === "number" ? "none" : "placeholder",
    };
    if (!useCache && previous && before > firstNeeded(row)) shared.push({ from: previous.row, to: row, count: before });
    if (!useCache && previous) this.#joinPath(active, previous, reuse.inBatch, batch);
    this.#current = active;
    this.#asked += row.tokens.length;
    if (previous) this.#ended.push(previous);
    // Nothing of it is in this batch, so its cells can be used by this batch.
    if (previous && previous.path.length === 0) this.#retire();
    if (this.#next === 0) this.#cache.expect(this.#window);
    this.#extend(active, batch, finished);
    return true;
  }

  /** Shares the entries that a row has in common with the one before it. */
  #joinPath(active: Active, previous: Active, count: number, batch: MicroBatch): void {
    for (const entry of previous.path.slice(0, count)) {
      if (!this.#deliver(active, entry, batch)) return; // no room for its output: computed in the next batch
      this.#memory.share(active.sequence, entry.cell);
      entry.sequences.push(active.sequence.id);
      takeEntry(active, entry, batch);
    }
  }

  /** Adds tokens of a row until its text is complete, the batch is full or the cache is. */
  #extend(active: Active, batch: MicroBatch, finished: Row[]): void {
    const { row, length, sequence } = active;
    for (let i = active.before + active.path.length; i < length; i = active.before + active.path.length) {
      if (!batch.hasRoom(wantsOutput(row, i)) || !this.#hasCell(active)) return;
      const cell = this.#memory.append(sequence);
      const entry = batch.add({ token: row.tokens[i] as number, position: i, cell, sequences: [sequence.id] });
      this.#deliver(active, entry, batch);
      takeEntry(active, entry, batch);
    }
    if (active.card === "none") finished.push(row);
    else this.#placeCard(active, batch);
  }

  /** Wants an entry's output for a row where the row needs it; false where the batch has no room for it. */
  #deliver({ row }: Active, entry: Entry, batch: MicroBatch): boolean {
    if (!wantsOutput(row, entry.position)) return true;
    if (entry.deliveries.length === 0 && !batch.hasOutputRoom()) return false;
    const hidden = row.hidden === "all" || (row.hidden === "end" && entry.position === row.read);
    batch.deliver(entry, { row, token: entry.position, hidden, gate: entry.position === row.gate });
    return true;
  }

  /** Room in the cache for a token of a row, beside the cells that card readings will take, its own among them. */
  #hasCell({ card }: Active): boolean {
    const reserved = this.#cards.length + this.#newCards.length + (card === "none" ? 0 : 1);
    while (this.#memory.usedCells + reserved >= this.#limits.contextTokens) if (!this.#cache.dropOldest()) return false;
    return true;
  }

  /** After the text: a placeholder takes the position that has to be next. */
  #placeCard(active: Active, batch: MicroBatch): void {
    const { row, sequence } = active;
    if (gapOf(active) > 0) {
      if (!batch.hasRoom(false) || !this.#hasCell(active)) return;
      const cell = this.#memory.append(sequence);
      batch.add({ token: cardOf(row).token, position: row.tokens.length, cell, sequences: [sequence.id] });
    }
    active.card = "reading";
    this.#newCards.push(active);
  }

  /** Reads at the cards' positions, after moving the placeholders to just before them. */
  #readCards(batch: MicroBatch, finished: Row[]): void {
    while (this.#cards.length > 0 && batch.hasRoom(true)) {
      const active = this.#cards.shift() as Active;
      const { row, sequence } = active;
      const { token, position } = cardOf(row);
      const gap = gapOf(active);
      if (gap > 1) this.#memory.shiftLast(sequence, gap - 1);
      const cell = this.#memory.append(sequence);
      const entry = batch.add({ token, position, cell, sequences: [sequence.id] });
      batch.deliver(entry, { row, token: OUTSIDE_TEXT, hidden: row.hidden !== "none", gate: false });
      batch.recall(sequence.id);
      this.#endCard(active);
      finished.push(row);
    }
  }

  #endCard(active: Active): void {
    active.card = "done";
    this.#ended.push(active);
  }
}

/** Adds an entry to a row's path; the last token's keys are remembered for the card. */
function takeEntry(active: Active, entry: Entry, batch: MicroBatch): void {
  active.path.push(entry);
  if (active.card === "placeholder" && entry.position === active.length - 1) batch.remember(entry, active.sequence.id);
}

function isUnfinished({ before, path, length, card }: Active): boolean {
  return before + path.length < length || card === "placeholder";
}

function cardOf({ read }: Row): CardRead {
  if (typeof read === "number")
    throw new ScoreheadError("ERR_INTERNAL", "This row has no card reading. Please report this.");
  return read;
}

/** Positions between the text and the card's reading. */
function gapOf({ row }: Active): number {
  return cardOf(row).position - row.tokens.length;
}

function needsAll({ perToken, hidden }: Row): boolean {
  return perToken || hidden === "all";
}

function wantsOutput(row: Row, token: number): boolean {
  return needsAll(row) || token === row.read || token === row.gate;
}

/** Tokens that have to be in the cache for a row's outputs: attention is causal, so none behind the last output. */
function neededLength(row: Row): number {
  if (needsAll(row) || typeof row.read !== "number") return row.tokens.length;
  return Math.max(row.read, row.gate ?? 0) + 1;
}

/** The first token that has to be computed: the first with an output; for a card the last, whose keys it remembers. */
function firstNeeded(row: Row): number {
  if (needsAll(row)) return 0;
  const read = typeof row.read === "number" ? row.read : row.tokens.length - 1;
  return Math.min(read, row.gate ?? read);
}

/** What of a row the row before it has in the cache, to be copied, and in the batch being built, to be joined. */
function reuseOf(
  previous: Active | null,
  row: Row,
  length: number,
): { readonly copied: number; readonly inBatch: number } {
  if (!previous) return { copied: 0, inBatch: 0 };
  const common = Math.min(
    commonPrefix(previous.row.tokens, row.tokens),
    length,
    previous.before + previous.path.length,
  );
  const inCache = Math.min(common, previous.before);
  const copied = provides(previous.row, row, inCache) ? inCache : Math.min(inCache, firstNeeded(row));
  return { copied, inBatch: copied === previous.before ? common - previous.before : 0 };
}

/** Whether the outputs that `row` needs of its first `count` tokens were computed for `previous`. */
function provides(previous: Row, row: Row, count: number): boolean {
  // A card remembers the keys of its own last token, so that one is always computed.
  if (typeof row.read !== "number") return false;
  if (row.perToken && !previous.perToken) return false;
  if (row.hidden === "all" && previous.hidden !== "all") return false;
  if (row.gate !== null && row.gate < count && previous.gate !== row.gate) return false;
  if (row.read >= count) return true;
  const sameRead = previous.read === row.read;
  const hasScore = previous.perToken || sameRead;
  const hasHidden = row.hidden === "none" || previous.hidden === "all" || (sameRead && previous.hidden === "end");
  return hasScore && hasHidden;
}

/** Lexicographic, a prefix before what it is a prefix of. */
function compareTokens(a: Int32Array, b: Int32Array): number {
  const common = commonPrefix(a, b);
  if (common === a.length || common === b.length) return a.length - b.length;
  return (a[common] as number) - (b[common] as number);
}
