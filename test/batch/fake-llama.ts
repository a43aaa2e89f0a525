/**
 * llama.cpp as the planner sees it: the KV cache with its rules, and a "score" that is a hash of exactly the keys that a
 * token sees. Whatever llama_decode refuses, this refuses.
 */
import { MAX_SEQUENCES, MEMORY_OP, type NativeBatch } from "../../lib/runtime/contract.ts";

interface FakeCell {
  token: number;
  position: number;
  readonly sequences: Set<number>;
}

/** A hash in 24 bits, which a float32 holds exactly. */
export function hashKeys(
  keys: readonly { readonly token: number; readonly position: number }[],
  query: number,
): number {
  let hash = query + 1;
  for (const { token, position } of [...keys].sort((a, b) => a.position - b.position))
    hash = (Math.imul(hash ^ (token * 31 + position), 0x9e3779b1) >>> 8) & 0xffffff;
  return hash;
}

export class FakeLlama {
  readonly #capacity: number;
  readonly #batchTokens: number;
  readonly #maxOutputs: number;
  #cells: FakeCell[] = [];
  readonly #remembered = new Map<number, readonly FakeCell[]>();
  /** Tokens computed so far. */
  computed = 0;
  batches = 0;
  /** Occupied cells, at most. */
  mostCells = 0;

  constructor(limits: { contextTokens: number; batchTokens: number; maxOutputs: number }) {
    this.#capacity = limits.contextTokens;
    this.#batchTokens = limits.batchTokens;
    this.#maxOutputs = limits.maxOutputs;
  }

  /** One score an output, in token order. */
  decode(batch: NativeBatch): number[] {
    for (let i = 0; i < batch.memory.length; i += 5)
      this.#apply(...(batch.memory.subarray(i, i + 5) as unknown as Operation));
    const count = batch.tokens.length;
    require(count > 0 && count <= this.#batchTokens, "size of the batch");
    const sets = Array.from({ length: count }, (_, i) => [
      ...batch.sequences.subarray(batch.sequenceOffsets[i], batch.sequenceOffsets[i + 1]),
    ]);
    this.#checkSequences(batch, sets);
    const scores: number[] = [];
    const added = sets.map((sequences, i) => ({
      token: batch.tokens[i] as number,
      position: batch.positions[i] as number,
      sequences: new Set(sequences),
    }));
    this.#cells.push(...added);
    this.computed += count;
    this.batches++;
    this.mostCells = Math.max(this.mostCells, this.#cells.length);
    require(this.#cells.length <= this.#capacity, "room in the cache");
    const remember = pairs(batch.remember);
    const recall = pairs(batch.recall);
    for (const [index, sequence] of remember)
      this.#remembered.set(sequence, this.#visible(added[index] as FakeCell, sets[index]));
    for (const [i, cell] of added.entries()) {
      const named = recall.find(([index]) => index === i)?.[1];
      const visible = this.#visible(cell, sets[i]);
      const seen = named === undefined ? visible : this.#remembered.get(named);
      require(seen?.every((key) => visible.includes(key)), "recalled keys are visible");
      if (batch.outputs[i] !== 0) scores.push(hashKeys(seen ?? [], cell.token * 7919 + cell.position));
    }
    require(scores.length <= this.#maxOutputs, "number of outputs");
    return scores;
  }

  /** llama.cpp masks by a token's first sequence. */
  #visible(cell: FakeCell, sequences: readonly number[] | undefined): FakeCell[] {
    const [first] = sequences ?? [];
    return this.#cells.filter((key) => key.sequences.has(first as number) && key.position <= cell.position);
  }

  #apply(kind: number, sequence: number, from: number, to: number, argument: number): void {
    const inRange = ({ sequences, position }: FakeCell): boolean =>
      sequences.has(sequence) && position >= Math.max(from, 0) && (to < 0 || position < to);
    if (kind === MEMORY_OP.remove && sequence === -1) this.#cells = [];
    else if (kind === MEMORY_OP.remove) {
      for (const cell of this.#cells.filter(inRange)) cell.sequences.delete(sequence);
      this.#cells = this.#cells.filter(({ sequences }) => sequences.size > 0);
    } else if (kind === MEMORY_OP.copy) {
      require(!this.#cells.some(({ sequences }) => sequences.has(argument)), "the target of a copy is empty");
      const source = this.#cells.filter(inRange);
      require(source.length === to - from, "the source of a copy holds what is copied");
      for (const cell of source) cell.sequences.add(argument);
    } else for (const cell of this.#cells.filter(inRange)) cell.position += argument;
  }

  /** llama_batch_allocr's consistency checks. */
  #checkSequences({ positions }: NativeBatch, sets: readonly (readonly number[])[]): void {
    const extent = (sequence: number): string => {
      const held = this.#cells.filter(({ sequences }) => sequences.has(sequence)).map(({ position }) => position);
      return held.length === 0 ? "-1..-1" : `${Math.min(...held)}..${Math.max(...held)}`;
    };
    const last = new Map<number, number>();
    const common = new Map<number, Set<number>>();
    for (const [i, sequences] of sets.entries()) {
      require(sequences.length > 0 && new Set(sequences).size === sequences.length, "sequences of a token");
      for (const sequence of sequences) {
        require(sequence >= 0 && sequence < MAX_SEQUENCES, "sequence ids");
        const before = last.get(sequence) ?? Number(extent(sequence).split("..")[1]);
        require(positions[i] === before + 1 || (!last.has(sequence) && before === -1), "continuous positions");
        last.set(sequence, positions[i] as number);
        require(extent(sequence) === extent(sequences[0] as number), "coupled sequences have the same extent");
        const shared = common.get(sequence) ?? new Set(sequences);
        common.set(sequence, new Set([...shared].filter((id) => sequences.includes(id))));
        require(common.get(sequence)?.size, "sequence sets only shrink");
      }
    }
  }
}

type Operation = [kind: number, sequence: number, from: number, to: number, argument: number];

function pairs(flat: Int32Array): [number, number][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i] as number, flat[2 * i + 1] as number]);
}

function require(holds: unknown, rule: string): void {
  if (!holds) throw new Error(`llama.cpp would refuse or miscompute this: ${rule}`);
}
