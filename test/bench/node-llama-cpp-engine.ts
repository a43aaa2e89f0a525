/** The peer: node-llama-cpp's embedding context on the same libraries and file, from its own node_modules. */
import type { StartEngine } from "./engine.ts";

interface Peer {
  getLlama(options: object): Promise<{
    loadModel(options: object): Promise<{
      createEmbeddingContext(
        options: object,
      ): Promise<{ getEmbeddingFor(tokens: readonly number[]): Promise<unknown> }>;
    }>;
  }>;
}

export const start: StartEngine = async ({ file, threads, device }) => {
  const { getLlama } = (await import(
    new URL("node_modules/node-llama-cpp/dist/index.js", import.meta.url).href
  )) as Peer;
  const llama = await getLlama({
    gpu: device === "cpu" ? false : device,
    build: "never",
    skipDownload: true,
    logLevel: "error",
  });
  const model = await llama.loadModel({ modelPath: file, ...(device === "cpu" && { gpuLayers: 0 }) });
  const context = await model.createEmbeddingContext({ contextSize: 2048, batchSize: 512, threads });
  return async ({ calls, perToken }) => {
    if (perToken) return null; // it gives the last token's embedding only
    for (const texts of calls) for (const tokens of texts) await context.getEmbeddingFor(tokens);
    return { reused: 0 };
  };
};
