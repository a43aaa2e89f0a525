/** Whether a file's tensors are those that llama.cpp's graph takes. */
import type { BackboneSizes, Graph } from "../architectures/types.ts";
import { ScoreheadError } from "../errors.ts";
import type { GgufTensor } from "./types.ts";

type Tensor = Pick<GgufTensor, "name" | "typeName" | "dims">;

/** Types that no weight is multiplied in: llama.cpp crashes on them. */
const NO_WEIGHTS: readonly string[] = ["I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K"];

/** @throws ERR_GGUF for a tensor that is missing, superfluous, or of a wrong shape or type */
export function checkTensors(path: string, graph: Graph, sizes: BackboneSizes, tensors: readonly Tensor[]): void {
  const wrong = (what: string): ScoreheadError =>
    new ScoreheadError("ERR_GGUF", `${path}: ${what}. Convert the checkpoint again.`);
  const rest = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  for (const { name, shape, optional } of graph.tensors) {
    const expected = shape(sizes);
    for (const own of namesOf(name, sizes.layers)) {
      const tensor = rest.get(own);
      rest.delete(own);
      if (!tensor && !optional) throw wrong(`the tensor ${own} is missing`);
      if (tensor && !sameShape(tensor.dims, expected))
        throw wrong(
          `${own} has the dimensions [${tensor.dims.join(", ")}] instead of [${[...expected].reverse().join(", ")}]`,
        );
      if (tensor && (expected.length === 1 ? tensor.typeName !== "F32" : NO_WEIGHTS.includes(tensor.typeName)))
        throw wrong(`${own} is of type ${tensor.typeName}, which llama.cpp cannot compute with`);
    }
  }
  const [unknown] = rest.keys();
  if (unknown !== undefined)
    throw wrong(`it holds the tensor ${unknown}, which llama.cpp's graph ${graph.name} does not take`);
}

function namesOf(name: string, layers: number): readonly string[] {
  if (!name.includes("{i}")) return [name];
  return Array.from({ length: layers }, (_, i) => name.replace("{i}", String(i)));
}

/** @param shape in torch order, the reverse of ggml's */
function sameShape(dims: readonly number[], shape: readonly number[]): boolean {
  const count = Math.max(dims.length, shape.length);
  return Array.from({ length: count }, (_, i) => (dims[i] ?? 1) === (shape[shape.length - 1 - i] ?? 1)).every(Boolean);
}
