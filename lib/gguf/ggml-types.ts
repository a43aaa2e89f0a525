/**
 * The tensor types that llama.cpp v0.5.0 knows: number in the file, name, and the shape of a block. Numbers that ggml
 * has retired (4, 5, 31-33, 36-38) are absent, so a file that uses one is refused.
 * Source: `enum ggml_type` in ggml.h and the block structs of ggml-common.h.
 */

/** A row is cut into blocks of `blockSize` elements, each stored in `blockBytes` bytes. */
export interface GgmlType {
  readonly name: string;
  readonly blockSize: number;
  readonly blockBytes: number;
}

const rows: readonly (readonly [number: number, name: string, blockSize: number, blockBytes: number])[] = [
  [0, "F32", 1, 4],
  [1, "F16", 1, 2],
  [2, "Q4_0", 32, 18],
  [3, "Q4_1", 32, 20],
  [6, "Q5_0", 32, 22],
  [7, "Q5_1", 32, 24],
  [8, "Q8_0", 32, 34],
  [9, "Q8_1", 32, 36],
  [10, "Q2_K", 256, 84],
  [11, "Q3_K", 256, 110],
  [12, "Q4_K", 256, 144],
  [13, "Q5_K", 256, 176],
  [14, "Q6_K", 256, 210],
  [15, "Q8_K", 256, 292],
  [16, "IQ2_XXS", 256, 66],
  [17, "IQ2_XS", 256, 74],
  [18, "IQ3_XXS", 256, 98],
  [19, "IQ1_S", 256, 50],
  [20, "IQ4_NL", 32, 18],
  [21, "IQ3_S", 256, 110],
  [22, "IQ2_S", 256, 82],
  [23, "IQ4_XS", 256, 136],
  [24, "I8", 1, 1],
  [25, "I16", 1, 2],
  [26, "I32", 1, 4],
  [27, "I64", 1, 8],
  [28, "F64", 1, 8],
  [29, "IQ1_M", 256, 56],
  [30, "BF16", 1, 2],
  [34, "TQ1_0", 256, 54],
  [35, "TQ2_0", 256, 66],
  [39, "MXFP4", 32, 17],
  [40, "NVFP4", 64, 36],
  [41, "Q1_0", 128, 18],
  [42, "Q2_0", 64, 18],
];

/** By the type's number in the file. */
export const GGML_TYPES: ReadonlyMap<number, GgmlType> = new Map(
  rows.map(([number, name, blockSize, blockBytes]) => [number, { name, blockSize, blockBytes }]),
);

const NUMBERS: ReadonlyMap<string, number> = new Map(rows.map(([number, name]) => [name, number]));

/** The number of a type by its name; null for a name that is no type. */
export function ggmlTypeNumber(name: string): number | null {
  return NUMBERS.get(name) ?? null;
}
