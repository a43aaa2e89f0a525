/** Told to, loads a model and scores texts, and tells the scores and what the accelerator computed of them. */
import { once } from "node:events";
import { type MessagePort, parentPort } from "node:worker_threads";
import { ScoreModel } from "../../lib/index.ts";

export interface Job {
  readonly file: string;
  readonly texts: readonly string[];
}
export interface Answer {
  readonly scores: readonly number[];
  readonly accel: unknown;
}

const main = parentPort as MessagePort;
main.postMessage("ready");
const [{ file, texts }] = (await once(main, "message")) as [Job];
const model = await ScoreModel.load(file, { device: "cpu", threads: 1 });
const output = await model.score(texts, { perToken: true });
const { accel } = model.stats();
await model.close();
main.postMessage({ scores: [...(output.scores?.data ?? [])], accel } satisfies Answer);
