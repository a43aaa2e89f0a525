/** PyTorch on the CPU, in bfloat16: a Llama of the same shape with random weights (the file's are not read). */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { readBackbone } from "../../lib/gguf/backbone.ts";
import { readGguf } from "../../lib/gguf/read.ts";
import { peakMegabytes, type StartEngine } from "./engine.ts";

export const start: StartEngine = async ({ file, threads }) => {
  const gguf = await readGguf(file);
  const { layers, hiddenSize, heads, kvElements, vocabularySize } = readBackbone(gguf);
  const feedForward = gguf.metadata.get("llama.feed_forward_length")?.value;
  const kvHeads = kvElements / (2 * layers * (hiddenSize / heads));
  const shape = { layers, hiddenSize, heads, kvHeads, feedForward, vocabularySize, threads };
  const script = new URL("torch_engine.py", import.meta.url).pathname;
  const child = spawn(process.env.PYTHON ?? "python3", [script, JSON.stringify(shape)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  process.on("exit", () => child.kill());
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<void> => {
    if ((await answers.next()).done) throw new Error("PyTorch's process ended.");
  };
  await answer();
  return async ({ calls, perToken }) => {
    for (const texts of calls) {
      child.stdin.write(`${JSON.stringify({ texts, perToken })}\n`);
      await answer();
    }
    return { reused: 0, peakMegabytes: peakMegabytes(child) };
  };
};
