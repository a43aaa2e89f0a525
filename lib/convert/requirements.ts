/** What a checkpoint's tensors have to be: there, of the right shape, and of numbers. */
import type { CheckpointTensor } from "../checkpoint/types.ts";
import { ScoreheadError } from "../errors.ts";
import { type FloatDtype, isFloat } from "./dtype.ts";

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

export function requireFloat(tensor: CheckpointTensor): CheckpointTensor & { readonly dtype: FloatDtype } {
  if (isFloat(tensor.dtype)) return tensor as CheckpointTensor & { readonly dtype: FloatDtype };
  throw new ScoreheadError(
    "ERR_TENSOR",
    `${tensor.name} is of type ${tensor.dtype}; weights are F64, F32, F16 or BF16.`,
  );
}

export function missing(name: string, place: string): ScoreheadError {
  return new ScoreheadError(
    "ERR_TENSOR",
    `${place} lacks the tensor ${name}. Download the checkpoint again, or complete it.`,
  );
}
