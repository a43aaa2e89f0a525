/** The three calls and the one kind of persistent id that an allow-listed pickle may make, done as data. */
import type { Fail } from "./json.ts";
import { isKind, type PickleGlobal, type PickleValue, type TorchStorage, type TorchTensor } from "./pickle-values.ts";

/** What REDUCE does for an allow-listed global: builds a value; nothing is executed. */
export function reduce(global: PickleGlobal, args: readonly PickleValue[], fail: Fail): PickleValue {
  switch (global.role) {
    case "OrderedDict":
      if (args.length > 0) throw fail("it calls OrderedDict with arguments");
      return { kind: "dict", ordered: true, entries: new Map() };
    case "rebuildTensor":
      return rebuildTensor(args, fail);
    case "rebuildParameter": {
      const [tensor] = args;
      if (!isKind(tensor, "tensor")) throw fail("it calls _rebuild_parameter without a tensor");
      return tensor;
    }
    case "storage":
      throw fail("it calls a storage class");
  }
}

/** `_rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks)`. */
function rebuildTensor(args: readonly PickleValue[], fail: Fail): TorchTensor {
  const [storage, storageOffset, size, stride] = args;
  const shape = sizes(size);
  const strides = sizes(stride);
  if (!isKind(storage, "storage") || !isSize(storageOffset) || shape === null || strides?.length !== shape.length)
    throw fail("it calls _rebuild_tensor_v2 with malformed arguments");
  return { kind: "tensor", storage, storageOffset, shape, strides };
}

/** The storage that the persistent id `('storage', class, key, location, elements)` stands for. */
export function storageOf(id: PickleValue, fail: Fail): TorchStorage {
  if (!isKind(id, "tuple") || id.items.length !== 5) throw fail("it has a persistent id that is not a storage");
  const [word, type, key, location, elements] = id.items;
  if (
    word !== "storage" ||
    !isKind(type, "global") ||
    type.role !== "storage" ||
    typeof key !== "string" ||
    typeof location !== "string" ||
    !isSize(elements)
  )
    throw fail("it has a malformed persistent id");
  return { kind: "storage", dtype: type.dtype, key, elements };
}

function isSize(value: PickleValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function sizes(value: PickleValue | undefined): number[] | null {
  if (!isKind(value, "tuple") || !value.items.every(isSize)) return null;
  return [...value.items] as number[];
}
