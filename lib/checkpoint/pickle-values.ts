/** What an allow-listed pickle can consist of, and the only callables it may name. */
import type { CheckpointDtype } from "./types.ts";

/** A storage as its persistent id names it: an entry of the archive. */
export interface TorchStorage {
  readonly kind: "storage";
  readonly dtype: CheckpointDtype;
  /** The entry's name under `data/`. */
  readonly key: string;
  readonly elements: number;
}

/** A view of a storage, as `_rebuild_tensor_v2` describes it; nothing about it is checked against the storage yet. */
export interface TorchTensor {
  readonly kind: "tensor";
  readonly storage: TorchStorage;
  /** First element within the storage. */
  readonly storageOffset: number;
  readonly shape: readonly number[];
  /** In elements, one an axis. */
  readonly strides: readonly number[];
}

export interface PickleTuple {
  readonly kind: "tuple";
  readonly items: readonly PickleValue[];
}

export interface PickleList {
  readonly kind: "list";
  readonly items: PickleValue[];
}

export interface PickleDict {
  readonly kind: "dict";
  /** Whether it is an OrderedDict, whose attributes a BUILD may set. */
  readonly ordered: boolean;
  readonly entries: Map<string | number, PickleValue>;
}

/** A name that the pickle may use: a callable, or a storage class for persistent ids. */
export type PickleGlobal =
  | { readonly kind: "global"; readonly role: "OrderedDict" | "rebuildTensor" | "rebuildParameter" }
  | { readonly kind: "global"; readonly role: "storage"; readonly dtype: CheckpointDtype };

export type PickleValue =
  | null
  | boolean
  | number
  | string
  | PickleTuple
  | PickleList
  | PickleDict
  | PickleGlobal
  | TorchStorage
  | TorchTensor;

const STORAGE_DTYPES: Readonly<Record<string, CheckpointDtype>> = {
  DoubleStorage: "F64",
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
};

/** Everything a state dict needs and nothing else: a name outside this list is refused before it could mean anything. */
export const ALLOWED_GLOBALS: ReadonlyMap<string, PickleGlobal> = new Map<string, PickleGlobal>([
  ["collections.OrderedDict", { kind: "global", role: "OrderedDict" }],
  ["torch._utils._rebuild_tensor_v2", { kind: "global", role: "rebuildTensor" }],
  ["torch._utils._rebuild_parameter", { kind: "global", role: "rebuildParameter" }],
  ...Object.entries(STORAGE_DTYPES).map(([name, dtype]): [string, PickleGlobal] => [
    `torch.${name}`,
    { kind: "global", role: "storage", dtype },
  ]),
]);

/** Whether `value` is one of the composite values of that kind. */
export function isKind<K extends Exclude<PickleValue, null | boolean | number | string>["kind"]>(
  value: PickleValue | undefined,
  kind: K,
): value is Extract<PickleValue, { readonly kind: K }> {
  return typeof value === "object" && value !== null && value.kind === kind;
}
