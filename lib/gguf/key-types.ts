/** The types that llama.cpp reads keys as. It opens no file in which one of them is of another. */
import type { Graph } from "../architectures/types.ts";
import { ScoreheadError } from "../errors.ts";
import type { GgufMetadata, GgufValue } from "./types.ts";

/** What every graph has, by what comes after its name, as far as scorehead knows it to be right. */
export const GRAPH_KEYS: Readonly<Record<string, string>> = {
  block_count: "u32",
  context_length: "u32",
  embedding_length: "u32",
  feed_forward_length: "u32",
  vocab_size: "u32",
  "attention.head_count": "u32",
  "attention.head_count_kv": "u32",
  "attention.key_length": "u32",
  "attention.value_length": "u32",
  "attention.layer_norm_rms_epsilon": "f32",
  "rope.dimension_count": "u32",
  "rope.freq_base": "f32",
  "rope.scaling.type": "string",
  "rope.scaling.factor": "f32",
  "rope.scaling.original_context_length": "u32",
  "rope.scaling.attn_factor": "f32",
};

/** Keys around the graph's own. */
const OTHER_KEYS: readonly (readonly [name: RegExp, type: string])[] = [
  [/^general\.(architecture|name|type)$/, "string"],
  [/^general\.file_type$/, "u32"],
  [/^tokenizer\.ggml\.(model|pre)$/, "string"],
  [/^tokenizer\.ggml\.tokens$/, "array of string"],
  [/^tokenizer\.ggml\.scores$/, "array of f32"],
  [/^tokenizer\.ggml\.token_type$/, "array of i32"],
  [/^tokenizer\.ggml\.\w+_token_id$/, "u32"],
  [/^tokenizer\.ggml\.add_\w+$/, "bool"],
];

/** @throws ERR_GGUF for a key of another type */
export function requireKeyTypes(path: string, metadata: GgufMetadata, graph: Graph): void {
  const prefix = `${graph.name}.`;
  const typeOf = (key: string): string | undefined => {
    if (!key.startsWith(prefix)) return OTHER_KEYS.find(([name]) => name.test(key))?.[1];
    const name = key.slice(prefix.length);
    return GRAPH_KEYS[name] ?? graph.keys[name]?.replace("?", "");
  };
  for (const [key, value] of metadata) {
    const wanted = typeOf(key);
    if (wanted !== undefined && describe(value) !== wanted)
      throw new ScoreheadError(
        "ERR_GGUF",
        `${path}: ${key} is of type ${describe(value)}, and llama.cpp reads it as ${wanted}. Convert the checkpoint again.`,
      );
  }
}

function describe(value: GgufValue): string {
  return value.type === "array" ? `array of ${value.of}` : value.type;
}
