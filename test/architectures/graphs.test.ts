/** The data of the architectures: consistent with itself, and with llama.cpp, which takes exactly the tensors listed. */
import { describe, expect, it } from "vitest";
import { GEMMA2 } from "../../lib/architectures/gemma2.ts";
import { ARCHITECTURES, GRAPHS } from "../../lib/architectures/index.ts";
import type { BackboneSizes, Graph, GraphTensor } from "../../lib/architectures/types.ts";
import { ConfigReader } from "../../lib/convert/config-reader.ts";
import { readGguf } from "../../lib/gguf/read.ts";
import type { GgufValue } from "../../lib/gguf/types.ts";
import { f32, str, u32 } from "../../lib/gguf/values.ts";
import { writeGguf } from "../../lib/gguf/write.ts";
import { ScoreModel } from "../../lib/index.ts";
import { refused } from "../gguf/support.ts";
import { workspace } from "../model/support.ts";

const { gguf, path } = workspace();

const stem = ({ name }: GraphTensor): string => name.replace(/\.(weight|bias)$/, "");

describe.each(ARCHITECTURES)("$className", ({ graph, names }) => {
  it("names every tensor that its graph needs, and no other", () => {
    const known = graph.tensors.map(stem);
    for (const name of Object.keys(names)) expect(known).toContain(name);
    const needed = graph.tensors.filter(({ optional }) => !optional).map(stem);
    for (const name of needed) expect(Object.keys(names)).toContain(name);
  });

  it("is found by its graph's name", () => expect(GRAPHS.get(graph.name)).toBe(graph));
});

/** Every size has another value, as far as the graph allows, so that no extent is taken for another. */
function sizesOf({ anyHeadSize, partialRotary }: Graph, vocabulary: number): BackboneSizes {
  const headSize = anyHeadSize ? 24 : 16;
  const rotary = partialRotary ? 12 : headSize;
  return { hiddenSize: 64, feedForward: 96, layers: 2, heads: 4, kvHeads: 2, headSize, rotary, vocabulary };
}

interface Changes {
  readonly tensors?: (tensors: readonly GraphTensor[]) => readonly GraphTensor[];
  readonly keys?: Readonly<Record<string, GgufValue>>;
}

/** A file with every tensor that a graph can have, under the vocabulary and the head of a fixture. */
async function writeWhole(graph: Graph, file: string, { tensors = (all) => all, keys = {} }: Changes = {}) {
  const { metadata: fixture } = await readGguf(await gguf("beaver-old-tokenizer"));
  const tokens = fixture.get("tokenizer.ggml.tokens")?.value as readonly string[];
  const sizes = sizesOf(graph, tokens.length);
  const isLong = graph.tensors.some(({ name }) => name === "rope_factors_short.weight");
  const own: Record<string, GgufValue> = {
    block_count: u32(sizes.layers),
    context_length: u32(2048),
    embedding_length: u32(sizes.hiddenSize),
    feed_forward_length: u32(sizes.feedForward),
    "attention.head_count": u32(sizes.heads),
    "attention.head_count_kv": u32(sizes.kvHeads),
    "attention.key_length": u32(sizes.headSize),
    "attention.value_length": u32(sizes.headSize),
    "attention.layer_norm_rms_epsilon": f32(1e-6),
    "rope.dimension_count": u32(sizes.rotary),
    ...(isLong && { "rope.scaling.type": str("longrope") }),
    ...Object.fromEntries(
      Object.entries(graph.keys).map(([key, kind]) => [key, kind.startsWith("u32") ? u32(1024) : f32(1.5)]),
    ),
    ...keys,
  };
  const metadata = new Map<string, GgufValue>([
    ...[...fixture].filter(([key]) => !key.startsWith("llama.")),
    ["general.architecture", str(graph.name)],
    ["scorehead.head.dims", { type: "array", of: "u32", value: Uint32Array.of(1, sizes.hiddenSize) }],
    ["scorehead.head.weight", { type: "array", of: "f32", value: new Float32Array(sizes.hiddenSize).fill(0.1) }],
    ...Object.entries(own).map(([key, value]): [string, GgufValue] => [`${graph.name}.${key}`, value]),
  ]);
  // A file has the factors of one kind.
  const listed = tensors(graph.tensors.filter(({ name }) => !(isLong && name === "rope_freqs.weight")));
  const written = listed.flatMap(({ name, shape }) =>
    Array.from({ length: name.includes("{i}") ? sizes.layers : 1 }, (_, i) => ({
      name: name.replace("{i}", String(i)),
      dims: [...shape(sizes)].reverse(),
      type: "F32" as const,
    })),
  );
  const count = (dims: readonly number[]): number => dims.reduce((product, n) => product * n, 1);
  await writeGguf(file, metadata, written, async function* (index) {
    const numbers = new Float32Array(count(written[index]?.dims ?? [])).map((_, i) => ((i * 7) % 11) / 50 + 0.01);
    yield new Uint8Array(numbers.buffer);
  });
}

it("Gemma 2's queries are scaled by what the graph's own scale lacks", () => {
  const sizes = { ...sizesOf(GEMMA2.graph, 1), hiddenSize: 4608, heads: 32, headSize: 128 };
  const scale = (layers: number, scalar?: number): number | undefined =>
    GEMMA2.queryScale?.(new ConfigReader({ query_pre_attn_scalar: scalar }, GEMMA2.defaults), { ...sizes, layers });
  expect(scale(42, 128)).toBe(1);
  expect(scale(42, 32)).toBe(2);
  expect(scale(42)).toBe(Math.sqrt(0.5)); // 256, where nothing is said
  expect(scale(46, 144)).toBe(1); // 27B, in which llama.cpp divides by the width of a head that hidden size gives
});

function load(file: string): Promise<ScoreModel> {
  return ScoreModel.load(file, { device: "cpu", threads: 1, context: 256 });
}

describe.each([...GRAPHS.values()])("llama.cpp's graph $name", (graph) => {
  const file = (): string => path(`${graph.name}.gguf`);

  it("takes every tensor listed, the optional ones too, and scores", async () => {
    await writeWhole(graph, file());
    await using model = await load(file());
    const { endScores } = await model.score({ tokenIds: [1, 300, 400] });
    expect(endScores.data[0]).toSatisfy(Number.isFinite);
  });

  it("is refused without a tensor that is needed, with another shape, and with one more, before llama.cpp opens it", async () => {
    const without = (all: readonly GraphTensor[]) => all.filter(({ name }) => name !== "blk.{i}.ffn_norm.weight");
    await writeWhole(graph, file(), { tensors: without });
    await refused(load(file()), "ERR_GGUF", "blk.0.ffn_norm.weight", "missing");
    const wider = (all: readonly GraphTensor[]) =>
      all.map((tensor) => (tensor.name === "output_norm.weight" ? { ...tensor, shape: () => [65] } : tensor));
    await writeWhole(graph, file(), { tensors: wider });
    await refused(load(file()), "ERR_GGUF", "output_norm.weight", "[65]", "[64]");
    const more = (all: readonly GraphTensor[]) => [...all, { name: "blk.0.extra.weight", shape: () => [64] }];
    await writeWhole(graph, file(), { tensors: more });
    await refused(load(file()), "ERR_GGUF", "blk.0.extra.weight");
  });

  it.each<[string, GgufValue]>([
    ["attention.value_length", u32(8)],
    ["attention.head_count_kv", u32(3)],
    ["rope.dimension_count", u32(10_000)],
    ["rope.freq_base", f32(Number.NaN)],
  ])("is refused with an absurd %s, on which llama.cpp ends the process or computes nonsense", async (key, value) => {
    await writeWhole(graph, file(), { keys: { [key]: value } });
    await refused(load(file()), "ERR_GGUF", key);
  });

  it.each(["dynamic", "llama3", "linear", "yarn", "longrope"])(
    "is refused with %s and nothing to scale by",
    async (kind) => {
      const tensors = (all: readonly GraphTensor[]) => all.filter(({ name }) => !name.startsWith("rope_factors"));
      await writeWhole(graph, file(), { tensors, keys: { "rope.scaling.type": str(kind) } });
      await refused(load(file()), "ERR_UNSUPPORTED", "rope.scaling.type", kind);
    },
  );
});

const WITH_FREQS = [...GRAPHS.values()].filter(({ ropeScaling }) => ropeScaling.includes("llama3"));

it.each(WITH_FREQS)("the graph $name takes Llama 3's factors in place of LongRoPE's", async (graph) => {
  const file = path(`${graph.name}.freqs.gguf`);
  const tensors = (): readonly GraphTensor[] => graph.tensors.filter(({ name }) => !name.includes("rope_factors"));
  await writeWhole(graph, file, { tensors, keys: { "rope.scaling.type": str("none") } });
  await using model = await load(file);
  expect((await model.score({ tokenIds: [1, 300] })).endScores.data[0]).toSatisfy(Number.isFinite);
});
