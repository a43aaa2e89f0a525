/**
 * Run by run.test.ts as a process of its own: writes a checkpoint of so many layers of 38 MiB and converts it. Prints the
 * most memory that converting used, in bytes.
 *
 * usage: convert-large.ts DIRECTORY LAYERS
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { convert } from "../../lib/index.ts";
import { encodeGiven, writeCheckpoint } from "../fixtures/checkpoints.ts";
import { byteLength } from "../fixtures/tensor.ts";

const [directory = "", layers = "1"] = process.argv.slice(2);
const CHUNK = Buffer.alloc(1024 * 1024, 0x3c);

const { directory: checkpoint } = await writeCheckpoint(
  {
    layout: "beaver",
    size: { hidden: 1024, intermediate: 5120, layers: Number(layers), heads: 8, kvHeads: 8 },
    dtype: "BF16",
    seed: 1,
    shards: 2,
    outputs: 1,
    bias: false,
    scoreType: "reward",
    normalizer: null,
  },
  directory,
  (plan) => ({
    ...plan,
    *chunks() {
      if (plan.values.kind === "given") yield encodeGiven(plan, plan.values.numbers);
      else for (let left = byteLength(plan); left > 0; left -= CHUNK.length) yield CHUNK.subarray(0, left);
    },
  }),
);
await convert(checkpoint, join(directory, "out.gguf"), { profile: "beaver-reward", type: "f16" });
console.log(process.resourceUsage().maxRSS * 1024);
rmSync(directory, { recursive: true });
