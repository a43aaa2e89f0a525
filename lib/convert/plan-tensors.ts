/** Which checkpoint tensor becomes which tensor of the file, and what has to be done to it. */
import type { BackboneSizes, GraphTensor, RowBlock } from "../architectures/types.ts";
import type { Checkpoint, CheckpointFiles, CheckpointTensor } from "../checkpoint/types.ts";
import { ScoreheadError } from "../errors.ts";
import { bytesOf } from "../gguf/encode.ts";
import type { WritableType } from "../gguf/types.ts";
import { attempt } from "../problems.ts";
import type { BackboneConfig } from "./config.ts";
import type { HeadTensors } from "./head.ts";
import { headPrefixes } from "./head-rules.ts";
import { type Layout, NEVER_READ } from "./layouts.ts";
import { Q8_BLOCK } from "./q8.ts";
import { type FloatTensor, listed, missing, requireFloat, requireShape } from "./requirements.ts";

/** Where a tensor's numbers come from: the config, or a checkpoint's tensor. */
export type TensorSource =
  | { readonly kind: "numbers"; readonly values: Float32Array }
  | {
      readonly kind: "checkpoint";
      readonly tensor: FloatTensor;
      /** The rows to take, in order; null: all. */
      readonly blocks: readonly RowBlock[] | null;
      /** Whether the two halves of each block are interleaved. */
      readonly interleaved: boolean;
      /** Each element becomes offset + scale * element. */
      readonly scale: number;
      readonly offset: number;
    };

/** One tensor of the output. */
export interface PlannedTensor {
  readonly name: string;
  /** ggml order. */
  readonly dims: readonly number[];
  readonly type: WritableType;
  /** Bytes in the file that is written first. */
  readonly byteLength: number;
  readonly source: TensorSource;
}

/** The checkpoint's files that the tensors are in. */
export function filesOf(tensors: readonly PlannedTensor[]): ReadonlySet<string> {
  return new Set(tensors.flatMap(({ source }) => (source.kind === "checkpoint" ? source.tensor.file : [])));
}

/** Finds tensors by name and remembers which nobody asked for. */
export class TensorFinder implements HeadTensors {
  readonly #checkpoint: Checkpoint;
  readonly #layout: Layout;
  readonly #used = new Set<string>();

  constructor(checkpoint: Checkpoint, layout: Layout) {
    this.#checkpoint = checkpoint;
    this.#layout = layout;
  }

  get place(): string {
    return this.#checkpoint.directory;
  }

  get files(): CheckpointFiles {
    return this.#checkpoint.files;
  }

  get(name: string): CheckpointTensor | undefined {
    this.#used.add(name);
    return this.#checkpoint.tensors.get(name);
  }

  /** A backbone tensor under any of the layout's prefixes; several have to be one and the same storage. */
  backbone(name: string): CheckpointTensor | undefined {
    const found = this.#layout.prefixes
      .map((prefix) => this.get(prefix + name))
      .filter((tensor) => tensor !== undefined);
    const [first] = found;
    for (const other of found)
      if (
        first &&
        (other.file !== first.file || other.offset !== first.offset || other.byteLength !== first.byteLength)
      )
        throw new ScoreheadError(
          "ERR_TENSOR",
          `${first.name} and ${other.name} should be the same tensor, and are two different ones: it is unclear which is meant.`,
        );
    return first;
  }

  /**
   * The names nobody asked for.
   * @param hasHead whether the head has been read; else all that may be part of one is passed over
   * @throws ERR_TENSOR where the model reads one of them
   */
  rest(hasHead: boolean): string[] {
    const { heads, normalizer, ignored } = this.#layout;
    const parts = hasHead ? [] : [...heads.flatMap(headPrefixes), ...Object.values(normalizer ?? {})];
    const isHead = (name: string): boolean => parts.some((part) => name === part || name.startsWith(`${part}.`));
    const names = [...this.#checkpoint.tensors.keys()].filter((name) => !this.#used.has(name) && !isHead(name));
    const unmapped = names.filter((name) => ![...NEVER_READ, ...ignored].some((pattern) => pattern.test(name)));
    if (unmapped.length === 0) return names;
    throw new ScoreheadError(
      "ERR_TENSOR",
      `${this.place} holds tensors that this layout does not have: ${listed(unmapped)}. ` +
        "The model computes something that the conversion would lose.",
    );
  }
}

/** A damaged checkpoint has hundreds of tensors that are wrong in the same way. */
const MOST_PROBLEMS = 3;

/** The backbone's tensors. What stands in the way of one is added to the problems, and the others are still planned. */
export function planBackbone(
  backbone: BackboneConfig,
  baseType: WritableType,
  finder: TensorFinder,
  problems: ScoreheadError[],
): PlannedTensor[] {
  const { architecture, sizes, factors, biases } = backbone;
  const planned: PlannedTensor[] = [];
  const absent: string[] = [];
  const wrong: ScoreheadError[] = [];
  for (const tensor of architecture.graph.tensors) {
    const values = factors.get(tensor.name);
    if (values) planned.push(describe(tensor, "", sizes, baseType, { kind: "numbers", values }));
    const [, stem = "", part] = tensor.name.match(/^(.*)\.(weight|bias)$/) ?? [];
    const name = architecture.names[stem];
    if (name === undefined || (part === "bias" && !biases.includes(stem))) continue;
    for (const layer of tensor.name.includes("{i}") ? Array.from({ length: sizes.layers }, (_, i) => `${i}`) : [""]) {
      const from = `${typeof name === "string" ? name : name.from}.${part}`.replace("{i}", layer);
      const source = attempt(wrong, () => sourceOf(finder.backbone(from), tensor, stem, backbone));
      if (source) planned.push(describe(tensor, layer, sizes, baseType, source));
      else if (source === undefined) absent.push(from);
    }
  }
  // Biases are missing for another reason than weights: a flag of the config.
  for (const part of [".weight", ".bias"]) {
    const names = absent.filter((name) => name.endsWith(part));
    if (names.length > 0) problems.push(missing(names, finder.place));
  }
  problems.push(...wrong.slice(0, MOST_PROBLEMS));
  return planned;
}

function describe(
  { name, shape }: GraphTensor,
  layer: string,
  sizes: BackboneSizes,
  baseType: WritableType,
  source: TensorSource,
): PlannedTensor {
  const extents = shape(sizes);
  // llama.cpp wants vectors in F32: they are small, and norms and biases are computed so. Rows that are no whole blocks
  // stay F16, as llama.cpp's quantiser leaves them.
  const isWhole = baseType !== "Q8_0" || (extents.at(-1) ?? 0) % Q8_BLOCK === 0;
  const type: WritableType = extents.length === 1 ? "F32" : isWhole ? baseType : "F16";
  const planned = { name: name.replace("{i}", layer), dims: [...extents].reverse(), type };
  return { ...planned, byteLength: bytesOf(planned), source };
}

function sourceOf(
  found: CheckpointTensor | undefined,
  tensor: GraphTensor,
  stem: string,
  { architecture, sizes, queryScale }: BackboneConfig,
): TensorSource | undefined {
  if (!found) return undefined;
  const name = architecture.names[stem];
  const [rows = 0, ...columns] = tensor.shape(sizes);
  const whole = typeof name === "object" ? name.rows(sizes) : rows;
  requireShape(found, [whole, ...columns]);
  const heads = tensor.rotary ? sizes[tensor.rotary] : null;
  const equal = heads === null ? null : equalBlocks(rows, heads);
  const blocks = typeof name === "object" ? name.blocks(sizes) : equal;
  const isNorm = columns.length === 0 && tensor.name.endsWith(".weight");
  const isQuery = stem === "blk.{i}.attn_q";
  return {
    kind: "checkpoint",
    tensor: requireFloat(found),
    blocks,
    interleaved: heads !== null,
    scale: isQuery ? queryScale : 1,
    offset: isNorm ? (architecture.normOffset ?? 0) : 0,
  };
}

function equalBlocks(rows: number, count: number): RowBlock[] {
  const size = rows / count;
  return Array.from({ length: count }, (_, i) => ({ start: i * size, count: size }));
}
