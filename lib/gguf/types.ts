/** What a GGUF file consists of: typed metadata and tensor descriptions (GGUF version 3, little-endian). */

/** Scalar metadata types by the names used here; 64-bit integers are bigint. */
export type GgufScalar =
  | { readonly type: "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "f32" | "f64"; readonly value: number }
  | { readonly type: "u64" | "i64"; readonly value: bigint }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string };

/** Array metadata: `of` is the element type. The numeric kinds are typed arrays, the others plain arrays. */
export type GgufArray =
  | { readonly type: "array"; readonly of: "u8"; readonly value: Uint8Array }
  | { readonly type: "array"; readonly of: "i8"; readonly value: Int8Array }
  | { readonly type: "array"; readonly of: "u16"; readonly value: Uint16Array }
  | { readonly type: "array"; readonly of: "i16"; readonly value: Int16Array }
  | { readonly type: "array"; readonly of: "u32"; readonly value: Uint32Array }
  | { readonly type: "array"; readonly of: "i32"; readonly value: Int32Array }
  | { readonly type: "array"; readonly of: "f32"; readonly value: Float32Array }
  | { readonly type: "array"; readonly of: "f64"; readonly value: Float64Array }
  | { readonly type: "array"; readonly of: "u64"; readonly value: BigUint64Array }
  | { readonly type: "array"; readonly of: "i64"; readonly value: BigInt64Array }
  | { readonly type: "array"; readonly of: "bool"; readonly value: readonly boolean[] }
  | { readonly type: "array"; readonly of: "string"; readonly value: readonly string[] };

export type GgufValue = GgufScalar | GgufArray;

/** Metadata in file order. */
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

/** ggml tensor types that scorehead writes itself; others it only copies. */
export type WritableType = "F32" | "F16" | "BF16" | "Q8_0";

/** A tensor as the file describes it. */
export interface GgufTensor {
  readonly name: string;
  /** ggml order: `dims[0]` is the row length (the fastest-varying axis), the reverse of a torch shape. */
  readonly dims: readonly number[];
  /** The ggml type's number. */
  readonly type: number;
  /** The ggml type's name, e.g. "Q8_0". */
  readonly typeName: string;
  /** Byte offset in the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/** A checked GGUF file: every offset and length lies inside the file. */
export interface GgufFile {
  readonly path: string;
  readonly size: number;
  readonly version: number;
  readonly alignment: number;
  readonly metadata: GgufMetadata;
  readonly tensors: readonly GgufTensor[];
}
