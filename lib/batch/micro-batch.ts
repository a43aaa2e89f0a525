/** Building one micro-batch: tokens with the sequences that share them, and what each is wanted for. */
import { type NativeBatch, OUTPUT } from "../runtime/contract.ts";
import type { Cell } from "./sequence-memory.ts";
import type { BatchLimits, Delivery } from "./types.ts";

/** A token of the batch. */
export interface Entry {
  readonly token: number;
  readonly position: number;
  readonly cell: Cell;
  readonly sequences: number[];
  readonly deliveries: Delivery[];
}

export class MicroBatch {
  readonly #limits: BatchLimits;
  readonly #entries: Entry[] = [];
  readonly #remember: number[] = [];
  readonly #recall: number[] = [];
  #outputs = 0;

  constructor(limits: BatchLimits) {
    this.#limits = limits;
  }

  get tokens(): number {
    return this.#entries.length;
  }

  /** Whether there is room for a token more, one with an output where `output`. */
  hasRoom(output: boolean): boolean {
    return this.tokens < this.#limits.batchTokens && (!output || this.hasOutputRoom());
  }

  hasOutputRoom(): boolean {
    return this.#outputs < this.#limits.maxOutputs;
  }

  add(entry: Omit<Entry, "deliveries">): Entry {
    const added = { ...entry, deliveries: [] };
    this.#entries.push(added);
    return added;
  }

  /** Wants an entry's output for a row. The caller has asked for room. */
  deliver(entry: Entry, delivery: Delivery): void {
    if (entry.deliveries.length === 0) this.#outputs++;
    entry.deliveries.push(delivery);
  }

  /** Remembers the keys that an entry sees, under a sequence. */
  remember(entry: Entry, sequence: number): void {
    this.#remember.push(this.#entries.indexOf(entry), sequence);
  }

  /** Restricts the last entry to the keys remembered under a sequence. */
  recall(sequence: number): void {
    this.#recall.push(this.#entries.length - 1, sequence);
  }

  /** The batch for the addon, and one list of deliveries an output. */
  build(memory: Int32Array): { native: NativeBatch; deliveries: Delivery[][] } {
    const entries = this.#entries;
    const offsets = new Int32Array(entries.length + 1);
    for (const [i, { sequences }] of entries.entries()) offsets[i + 1] = (offsets[i] as number) + sequences.length;
    const native: NativeBatch = {
      memory,
      tokens: Int32Array.from(entries, ({ token }) => token),
      positions: Int32Array.from(entries, ({ position }) => position),
      sequences: Int32Array.from(entries.flatMap(({ sequences }) => sequences)),
      sequenceOffsets: offsets,
      outputs: Uint8Array.from(entries, outputOf),
      remember: Int32Array.from(this.#remember),
      recall: Int32Array.from(this.#recall),
    };
    return { native, deliveries: entries.map(({ deliveries }) => deliveries).filter(({ length }) => length > 0) };
  }
}

function outputOf({ deliveries }: Entry): number {
  if (deliveries.length === 0) return 0;
  const hidden = deliveries.some((delivery) => delivery.hidden) ? OUTPUT.hidden : 0;
  const gate = deliveries.some((delivery) => delivery.gate) ? OUTPUT.gate : 0;
  return OUTPUT.score + hidden + gate;
}
