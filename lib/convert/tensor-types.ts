/** Types for single tensors of a quantised file: which tensors a name means, and whether the type fits them. */
import type { Check } from "../check-options.ts";
import { ScoreheadError } from "../errors.ts";
import type { GgufContents } from "../gguf/backbone.ts";
import { GGML_TYPES } from "../gguf/ggml-types.ts";
import type { TensorOverride } from "../runtime/quantize.ts";

/** The types on offer, with their ggml_type. */
export const TENSOR_TYPES = { f32: 0, f16: 1, bf16: 30, q8_0: 8, q6_k: 14, q5_k: 13, q4_k: 12, q4_0: 2 } as const;
export type TensorType = keyof typeof TENSOR_TYPES;

/** Types by parts of tensor names, whole between dots: `attn_v`, `blk.0`, `blk.0.attn_v`, `token_embd`. */
export type TensorTypes = Readonly<Record<string, TensorType>>;

export const tensorTypesCheck: Check = (value) => {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  const fits = isObject && Object.values(value).every((type) => Object.hasOwn(TENSOR_TYPES, type));
  return fits ? null : `an object of tensor names, each with one of ${Object.keys(TENSOR_TYPES).join(", ")}`;
};

/**
 * The tensors that names mean; of several names for one tensor, the first one decides.
 * @throws ERR_ARGUMENT where a name means none of the file's matrices; ERR_QUANTIZE where a type's blocks do not fill a row
 */
export function overrideTensors({ tensors }: Pick<GgufContents, "tensors">, types: TensorTypes): TensorOverride[] {
  const matrices = tensors.filter(({ name, dims }) => dims.length >= 2 && name.endsWith(".weight"));
  const chosen = new Map<string, number>();
  for (const [part, type] of Object.entries(types)) {
    const meant = matrices.filter(({ name }) => `.${name}.`.includes(`.${part}.`));
    if (part === "" || meant.length === 0) throw unknownName(part, matrices);
    for (const { name, dims } of meant) {
      checkFit(name, dims[0] as number, type);
      if (!chosen.has(name)) chosen.set(name, TENSOR_TYPES[type]);
    }
  }
  return Array.from(chosen, ([name, type]) => ({ name, type }));
}

function checkFit(name: string, rowLength: number, type: TensorType): void {
  const { blockSize = 1 } = GGML_TYPES.get(TENSOR_TYPES[type]) ?? {};
  if (rowLength % blockSize === 0) return;
  throw new ScoreheadError(
    "ERR_QUANTIZE",
    `${name} has rows of ${rowLength} numbers, and ${type} stores blocks of ${blockSize}. Choose another type for it.`,
  );
}

function unknownName(part: string, matrices: readonly { readonly name: string }[]): ScoreheadError {
  const kinds = new Set(matrices.map(({ name }) => name.replace(/^blk\.\d+\./, "").replace(/\.weight$/, "")));
  return new ScoreheadError(
    "ERR_ARGUMENT",
    `No matrix of the file has "${part}" in its name, between dots. There are ${[...kinds].join(", ")}, and blk.<layer> ` +
      "before those of a layer.",
  );
}
