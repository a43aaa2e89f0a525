/** A worker thread of scenarios.ts. It tells its parent when it has begun, or the score that it found. */
import { parentPort, workerData } from "node:worker_threads";
import { ScoreModel } from "../../../lib/index.ts";

const { path, role } = workerData as { readonly path: string; readonly role: string };
const load = (): Promise<ScoreModel> => ScoreModel.load(path, { device: "cpu", threads: 1 });

switch (role) {
  case "loads":
    parentPort?.postMessage("begun");
    await load();
    break;
  case "scores once": {
    const { endScores } = await (await load()).score("hello");
    parentPort?.postMessage(endScores.data[0]);
    break;
  }
  case "exits while it scores": {
    const model = await load();
    const texts = Array.from({ length: 300 }, (_, i) => `${i} ${"word ".repeat(200)}`);
    model.score(texts).catch(() => {});
    parentPort?.postMessage("begun");
    setTimeout(() => process.exit(0), 30);
    break;
  }
  case "scores without end": {
    const model = await load();
    parentPort?.postMessage("begun");
    const tokenIds = new Int32Array(2000).fill(300);
    for (;;) await model.score(Array(10).fill({ tokenIds }), { perToken: true });
  }
}
