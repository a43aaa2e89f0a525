/**
 * A mirror of llama.cpp's KV cache: which tokens each sequence holds and how many cells that takes. Sequences share
 * cells; a cell is free again when no sequence holds it.
 */
import { ScoreheadError } from "../errors.ts";
import { MEMORY_OP } from "../runtime/contract.ts";

/** A sequence in the cache. */
export interface Sequence {
  readonly id: number;
  /** The cell of each position. */
  readonly cells: Cell[];
}

/** One position of one or more sequences. */
export interface Cell {
  holders: number;
}

export class SequenceMemory {
  readonly #freeIds: number[];
  /** Operations to apply before the next batch, five integers each. */
  #operations: number[] = [];
  #usedCells = 0;

  /** @param sequences how many there can be */
  constructor(sequences: number) {
    this.#freeIds = Array.from({ length: sequences }, (_, i) => sequences - 1 - i);
  }

  get usedCells(): number {
    return this.#usedCells;
  }

  get freeSequences(): number {
    return this.#freeIds.length;
  }

  /** A new sequence, empty or sharing the first `length` cells of another. */
  open(source?: Sequence, length = 0): Sequence {
    const id = this.#freeIds.pop();
    if (id === undefined)
      throw new ScoreheadError("ERR_INTERNAL", "The KV cache has no sequence left. Please report this.");
    const cells = source ? source.cells.slice(0, length) : [];
    for (const cell of cells) cell.holders++;
    if (source && length > 0) this.#operations.push(MEMORY_OP.copy, source.id, 0, length, id);
    return { id, cells };
  }

  /** A new cell at the end of a sequence. */
  append(sequence: Sequence): Cell {
    const cell = { holders: 1 };
    sequence.cells.push(cell);
    this.#usedCells++;
    return cell;
  }

  /** Lets a sequence hold another's cell as its next position. */
  share(sequence: Sequence, cell: Cell): void {
    cell.holders++;
    sequence.cells.push(cell);
  }

  /** Moves the last position of a sequence by `delta`. */
  shiftLast(sequence: Sequence, delta: number): void {
    const last = sequence.cells.length - 1;
    this.#operations.push(MEMORY_OP.shift, sequence.id, last, last + 1, delta);
  }

  /** Drops a sequence; cells that it alone holds are free. */
  close(sequence: Sequence): void {
    for (const cell of sequence.cells) if (--cell.holders === 0) this.#usedCells--;
    sequence.cells.length = 0;
    this.#operations.push(MEMORY_OP.remove, sequence.id, -1, -1, 0);
    this.#freeIds.push(sequence.id);
  }

  /** The operations since the last call. */
  takeOperations(): Int32Array {
    const operations = Int32Array.from(this.#operations);
    this.#operations = [];
    return operations;
  }
}
