/**
 * An interpreter of the pickle opcodes that a torch state dict consists of (protocols 2 to 5). It executes nothing: a
 * global outside the allow-list, and an opcode that state dicts do not need, is an error.
 */
import type { Fail } from "./json.ts";
import { ALLOWED_GLOBALS, isKind, type PickleDict, type PickleList, type PickleValue } from "./pickle-values.ts";
import { reduce, storageOf } from "./torch-objects.ts";

/** The pickler writes a dict in batches of a thousand pairs; some writers put all tensors on the stack at once. */
const MAX_STACK = 1_048_576;

/** torch memoises some 15 values a tensor. */
const MAX_MEMO = 4_194_304;

/** Module and class names; torch's longest is 33 characters. */
const MAX_GLOBAL_BYTES = 256;

/**
 * The value that a pickle describes.
 *
 * @param bytes the whole pickle, of bounded length
 * @param fail makes the error where it is malformed, cut short, or asks for something outside the allow-list
 */
export function parsePickle(bytes: Buffer, fail: Fail): PickleValue {
  return new Unpickler(bytes, fail).run();
}

class Unpickler {
  readonly #bytes: Buffer;
  readonly #fail: Fail;
  #at = 0;
  readonly #stack: PickleValue[] = [];
  /** Stack heights at which a MARK was set. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PickleValue>();

  constructor(bytes: Buffer, fail: Fail) {
    this.#bytes = bytes;
    this.#fail = fail;
  }

  run(): PickleValue {
    for (;;) {
      const start = this.#at;
      const opcode = this.#u8();
      if (opcode === STOP) return this.#result();
      const operation = OPERATIONS[opcode];
      if (operation === undefined)
        throw this.#fail(
          `opcode 0x${opcode.toString(16).padStart(2, "0")} at byte ${start} has no place in a state dict`,
        );
      operation(this);
    }
  }

  #result(): PickleValue {
    const value = this.pop();
    if (this.#stack.length > 0 || this.#marks.length > 0) throw this.#fail("it ends with values left over");
    return value;
  }

  push(value: PickleValue): void {
    if (this.#stack.length >= MAX_STACK) throw this.#fail(`it stacks more than ${MAX_STACK} values`);
    this.#stack.push(value);
  }

  pop(): PickleValue {
    const floor = this.#marks.at(-1) ?? 0;
    const value = this.#stack.length > floor ? this.#stack.pop() : undefined;
    if (value === undefined) throw this.#fail("it takes a value from an empty stack");
    return value;
  }

  mark(): void {
    if (this.#marks.length >= MAX_STACK) throw this.#fail(`it sets more than ${MAX_STACK} marks`);
    this.#marks.push(this.#stack.length);
  }

  popToMark(): PickleValue[] {
    const height = this.#marks.pop();
    if (height === undefined) throw this.#fail("it has no mark to return to");
    return this.#stack.splice(height);
  }

  popTuple(length: number): void {
    const items: PickleValue[] = [];
    for (let i = 0; i < length; i++) items.unshift(this.pop());
    this.push({ kind: "tuple", items });
  }

  append(items: readonly PickleValue[]): void {
    const list = this.pop();
    if (!isKind(list, "list")) throw this.#fail("it appends to something that is not a list");
    for (const item of items) list.items.push(item);
    this.push(list);
  }

  setItems(pairs: readonly PickleValue[]): void {
    const dict = this.pop();
    if (!isKind(dict, "dict") || pairs.length % 2 !== 0)
      throw this.#fail("it sets items of something that is not a dict");
    for (let i = 0; i < pairs.length; i += 2) this.#setItem(dict, pairs[i] ?? null, pairs[i + 1] ?? null);
    this.push(dict);
  }

  #setItem(dict: PickleDict, key: PickleValue, value: PickleValue): void {
    if (typeof key !== "string" && typeof key !== "number") throw this.#fail("it has a dict key that is not a string");
    // Python would keep the last silently; a tensor given twice has no right answer.
    if (dict.entries.has(key)) throw this.#fail(`it sets the key ${key} twice`);
    dict.entries.set(key, value);
  }

  putMemo(index: number): void {
    if (this.#memo.size >= MAX_MEMO) throw this.#fail(`it memoises more than ${MAX_MEMO} values`);
    const value = this.pop();
    this.#memo.set(index, value);
    this.push(value);
  }

  memoize(): void {
    this.putMemo(this.#memo.size);
  }

  getMemo(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.#fail(`it refers to the memo ${index}, which was never set`);
    this.push(value);
  }

  global(module: PickleValue, name: PickleValue): void {
    const global = ALLOWED_GLOBALS.get(`${module}.${name}`);
    if (typeof module !== "string" || typeof name !== "string" || global === undefined)
      throw this.#fail(
        `it asks for ${JSON.stringify(`${module}.${name}`).slice(1, -1)}, which is not on the allow-list; nothing was run`,
      );
    this.push(global);
  }

  reduce(): void {
    const args = this.pop();
    const callable = this.pop();
    if (!isKind(callable, "global") || !isKind(args, "tuple"))
      throw this.#fail("it calls something that is not a callable");
    this.push(reduce(callable, args.items, this.#fail));
  }

  /** torch gives its state dicts a `_metadata` attribute of module versions; attributes carry no tensors. */
  build(): void {
    const state = this.pop();
    const target = this.pop();
    if (!isKind(target, "dict") || !target.ordered || !isKind(state, "dict"))
      throw this.#fail("it sets attributes of something that is not an OrderedDict");
    this.push(target);
  }

  persistentId(): void {
    this.push(storageOf(this.pop(), this.#fail));
  }

  protocol(): void {
    const version = this.#u8();
    if (version < 2 || version > 5) throw this.#fail(`it has protocol ${version}, and only 2 to 5 are read`);
  }

  number(value: number): void {
    if (Number.isInteger(value) && !Number.isSafeInteger(value)) throw this.#fail(`it holds the integer ${value}`);
    this.push(value);
  }

  /** LONG1: a two's complement little-endian integer of a length that comes before it. */
  long(): void {
    const length = this.#u8();
    if (length > 8) throw this.#fail(`it holds an integer of ${length} bytes`);
    const bytes = this.take(length);
    const value = bytes.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
    this.number(Number(BigInt.asIntN(length * 8, value)));
  }

  text(length: number): void {
    this.push(this.take(length).toString("utf8"));
  }

  /** The bytes up to the next newline, for GLOBAL. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0 || end - this.#at > MAX_GLOBAL_BYTES) throw this.#fail("it has a global name without an end");
    const line = this.#bytes.toString("latin1", this.#at, end);
    this.#at = end + 1;
    return line;
  }

  take(length: number): Buffer {
    if (length > this.#bytes.length - this.#at)
      throw this.#fail(`it ends at byte ${this.#bytes.length}, inside a value of ${length} bytes`);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  #u8(): number {
    return this.take(1).readUInt8(0);
  }
}

/** A u64 as a double: exact up to 2^53, and beyond that only compared with the bytes that are left. */
function u64(bytes: Buffer): number {
  return bytes.readUInt32LE(4) * 2 ** 32 + bytes.readUInt32LE(0);
}

const STOP = 0x2e;

const emptyDict = (): PickleDict => ({ kind: "dict", ordered: false, entries: new Map() });
const emptyList = (): PickleList => ({ kind: "list", items: [] });

/** By opcode; the names are those of Python's pickletools. */
const OPERATIONS: Readonly<Record<number, (machine: Unpickler) => void>> = {
  128: /* PROTO */ (m) => m.protocol(),
  149: /* FRAME */ (m) => m.take(8),
  40: /* MARK */ (m) => m.mark(),
  78: /* NONE */ (m) => m.push(null),
  136: /* NEWTRUE */ (m) => m.push(true),
  137: /* NEWFALSE */ (m) => m.push(false),
  75: /* BININT1 */ (m) => m.push(m.take(1).readUInt8(0)),
  77: /* BININT2 */ (m) => m.push(m.take(2).readUInt16LE(0)),
  74: /* BININT */ (m) => m.push(m.take(4).readInt32LE(0)),
  138: /* LONG1 */ (m) => m.long(),
  71: /* BINFLOAT */ (m) => m.push(m.take(8).readDoubleBE(0)),
  88: /* BINUNICODE */ (m) => m.text(m.take(4).readUInt32LE(0)),
  140: /* SHORT_BINUNICODE */ (m) => m.text(m.take(1).readUInt8(0)),
  141: /* BINUNICODE8 */ (m) => m.text(u64(m.take(8))),
  41: /* EMPTY_TUPLE */ (m) => m.push({ kind: "tuple", items: [] }),
  133: /* TUPLE1 */ (m) => m.popTuple(1),
  134: /* TUPLE2 */ (m) => m.popTuple(2),
  135: /* TUPLE3 */ (m) => m.popTuple(3),
  116: /* TUPLE */ (m) => m.push({ kind: "tuple", items: m.popToMark() }),
  93: /* EMPTY_LIST */ (m) => m.push(emptyList()),
  97: /* APPEND */ (m) => m.append([m.pop()]),
  101: /* APPENDS */ (m) => m.append(m.popToMark()),
  125: /* EMPTY_DICT */ (m) => m.push(emptyDict()),
  115: /* SETITEM */ (m) => m.setItems([m.pop(), m.pop()].reverse()),
  117: /* SETITEMS */ (m) => m.setItems(m.popToMark()),
  99: /* GLOBAL */ (m) => m.global(m.line(), m.line()),
  147: /* STACK_GLOBAL */ (m) => {
    const name = m.pop();
    m.global(m.pop(), name);
  },
  82: /* REDUCE */ (m) => m.reduce(),
  98: /* BUILD */ (m) => m.build(),
  81: /* BINPERSID */ (m) => m.persistentId(),
  113: /* BINPUT */ (m) => m.putMemo(m.take(1).readUInt8(0)),
  114: /* LONG_BINPUT */ (m) => m.putMemo(m.take(4).readUInt32LE(0)),
  148: /* MEMOIZE */ (m) => m.memoize(),
  104: /* BINGET */ (m) => m.getMemo(m.take(1).readUInt8(0)),
  106: /* LONG_BINGET */ (m) => m.getMemo(m.take(4).readUInt32LE(0)),
};
