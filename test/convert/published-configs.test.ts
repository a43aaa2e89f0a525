/** The published checkpoints' settings, none of which stands in the way of a conversion. */
import { expect, it } from "vitest";
import { type Checkpoint, type CheckpointTensor, DTYPE_BYTES } from "../../lib/checkpoint/types.ts";
import { surveyConversion } from "../../lib/convert/plan.ts";
import { planTensors } from "../fixtures/layouts.ts";
import { PUBLISHED_CONFIGS, type PublishedConfig } from "../fixtures/published-configs.ts";
import type { FixtureSpec } from "../fixtures/specs.ts";
import { elementCount } from "../fixtures/tensor.ts";

/** What the tensors of such a checkpoint are planned by. */
function specOf({ family, head, config }: PublishedConfig): FixtureSpec {
  const number = (key: string, fallback = Number.NaN): number => (config[key] ?? fallback) as number;
  const size = {
    hidden: number("hidden_size"),
    intermediate: number("intermediate_size"),
    layers: number("num_hidden_layers"),
    heads: number("num_attention_heads"),
    kvHeads: number("num_key_value_heads", number("num_attention_heads")),
    vocabulary: number("vocab_size"),
  };
  const common = { size, dtype: "BF16", seed: 1, shards: 1 } as const;
  if (!head) return { ...common, layout: "armorm", rewards: 19, neurons: 1024, hiddenLayers: 3 };
  const headSize = number("head_dim", size.hidden / size.heads);
  return { ...common, layout: "relative", class: "", family, headSize, head, config: {} };
}

/** A checkpoint of the published size; every number read is the same small one. */
function checkpointOf(published: PublishedConfig): Checkpoint {
  const tensors = planTensors(specOf(published)).map(({ name, dtype, shape }): CheckpointTensor => {
    const byteLength = elementCount(shape) * DTYPE_BYTES[dtype];
    return { name, dtype, shape, file: "model.safetensors", offset: 0, byteLength };
  });
  const read = async (buffer: Buffer, offset: number, length: number) => {
    buffer.fill(0x3c, offset, offset + length);
    return { bytesRead: length };
  };
  return {
    directory: published.repository,
    config: published.config,
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
    files: { list: async () => [], identity: async () => null, open: (_, use) => use({ read }, Number.MAX_VALUE) },
  };
}

it.each(PUBLISHED_CONFIGS)("nothing in the config of $repository stands in the way", async (published) => {
  const options = { profile: undefined, type: "auto", fallbackConfig: null } as const;
  const { problems } = await surveyConversion(checkpointOf(published), null, options);
  expect(problems.map(({ message }) => message)).toEqual([]);
});
