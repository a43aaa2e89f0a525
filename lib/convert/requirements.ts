/** What a checkpoint's tensors have to be: there, of the right shape, and of numbers. */
import type { CheckpointTensor } from "../checkpoint/types.ts";
import { ScoreheadError } from "../errors.ts";
import { type FloatDtype, isFloat } from "./dtype.ts";

/** A checkpoint tensor whose elements are numbers. */
export type FloatTensor = CheckpointTensor & { readonly dtype: FloatDtype };

/** @param shape null: any size */
export function requireShape(tensor: CheckpointTensor, shape: readonly (number | null)[]): void {
  const fits = tensor.shape.length === shape.length && shape.every((n, i) => n === null || n === tensor.shape[i]);
  if (fits) return;
  const expected = shape.map((n) => n ?? "any").join(", ");
  throw new ScoreheadError(
    "ERR_TENSOR",
    `${tensor.name} has the shape [${tensor.shape.join(", ")}], and config.json asks for [${expected}].`,
  );
}

export function requireFloat(tensor: CheckpointTensor): FloatTensor {
  if (isFloat(tensor.dtype)) return tensor as FloatTensor;
  throw new ScoreheadError(
    "ERR_TENSOR",
    `${tensor.name} is of type ${tensor.dtype}; weights are F64, F32, F16 or BF16.`,
  );
}

export function missing(names: readonly string[], place: string): ScoreheadError {
  const what = names.length === 1 ? "tensor" : `${names.length} tensors`;
  return new ScoreheadError(
    "ERR_TENSOR",
    `${place} lacks the ${what} ${listed(names)}. Download the checkpoint again, or complete it.`,
  );
}

/** Some of the names: a damaged checkpoint has hundreds. */
export function listed(names: readonly string[]): string {
  const more = names.length > 5 ? ` and ${names.length - 5} more` : "";
  return names.slice(0, 5).join(", ") + more;
}
