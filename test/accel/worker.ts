/** Loads a model, scores the texts, and tells the scores and what the accelerator computed of them. */
import { parentPort, workerData } from "node:worker_threads";
import { ScoreModel } from "../../lib/index.ts";

const { file, texts } = workerData as { file: string; texts: string[] };
const model = await ScoreModel.load(file, { device: "cpu", threads: 1 });
const output = await model.score(texts, { perToken: true });
const { accel } = model.stats();
await model.close();
parentPort?.postMessage({ scores: [...(output.scores?.data ?? [])], accel });
