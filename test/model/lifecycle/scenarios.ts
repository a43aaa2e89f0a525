/**
 * Run by lifecycle.test.ts as a process of its own: what a program may do to a model besides closing it.
 *
 * usage: scenarios.ts SCENARIO MODEL.gguf
 */
import { writeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { isScoreheadError, quantize, ScoreModel } from "../../../lib/index.ts";

/** Thousands of tokens: a second of work, so that whatever interrupts it comes in the middle. */
const LONG = { tokenIds: Int32Array.from({ length: 2000 }, (_, i) => (i === 0 ? 1 : 300 + i)) };
const SHORT = "hello";

const load = (path: string): Promise<ScoreModel> => ScoreModel.load(path, { device: "cpu", threads: 1 });
const job = (model: ScoreModel): Promise<unknown> => model.score(Array(50).fill(LONG), { perToken: true });

/** Whether the addon has freed the model. */
function modelIsGone(model: ScoreModel): boolean {
  try {
    return model.tokenize("a").length === 0;
  } catch (error) {
    return isScoreheadError(error, "ERR_CLOSED");
  }
}

function startWorker(path: string, role: string): Worker {
  return new Worker(new URL("worker.mjs", import.meta.url), { workerData: { path, role } });
}
/** The next message of a worker. */
const heard = (worker: Worker): Promise<unknown> => new Promise((resolve) => worker.once("message", resolve));
const ended = (worker: Worker): Promise<number> => new Promise((resolve) => worker.once("exit", resolve));

const SCENARIOS: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  /** The model stays open; nothing else keeps the process alive. */
  "idle at the end": async (path) => {
    const model = await load(path);
    await model.score(SHORT);
  },
  "exit with a model open": async (path) => {
    const model = await load(path);
    await model.score(SHORT);
    process.exit(3);
  },
  "exit while loading": async (path) => {
    load(path);
    await delay(5);
    process.exit(3);
  },
  "exit while scoring": async (path) => {
    const model = await load(path);
    job(model);
    await delay(100);
    process.on("exit", () => writeSync(1, modelIsGone(model) ? "freed" : "still computing"));
    process.exit(3);
  },
  "throw while scoring": async (path) => {
    const model = await load(path);
    job(model);
    await delay(100);
    throw new Error("the program's own mistake");
  },
  "a listener that throws": async (path) => {
    let thrown = 0;
    process.on("uncaughtException", () => {
      thrown++;
    });
    const onLog = (): never => {
      throw new Error("the listener's own mistake");
    };
    const model = await ScoreModel.load(path, { device: "cpu", threads: 1, onLog });
    await model.score(SHORT);
    await model.close();
    console.log(thrown > 0 ? "alive" : "swallowed");
  },
  "scores to the end": async (path) => {
    const model = await load(path);
    // No await: the open promise alone keeps the process alive.
    model.score(SHORT).then(({ endScores }) => console.log(`scored ${endScores.data.length}`));
  },
  "collected without close": async (path) => {
    const collect = globalThis.gc;
    if (!collect) throw new Error("needs --expose-gc");
    for (let i = 0; i < 10; i++) await (await load(path)).score(SHORT);
    // Finalisers run in tasks of their own.
    for (let i = 0; i < 10; i++) {
      collect();
      await delay(10);
    }
    const model = await load(path);
    await model.score(SHORT);
    console.log("alive");
  },
  "worker terminated while scoring": async (path) => {
    const model = await load(path);
    const before = await model.score(SHORT);
    const worker = startWorker(path, "scores without end");
    await heard(worker);
    await delay(50);
    await worker.terminate();
    const after = await model.score(SHORT);
    console.log(`alive ${before.endScores.data[0] === after.endScores.data[0]}`);
    await model.close();
  },
  "workers terminated at any moment of scoring": async (path) => {
    for (const wait of [0, 0, 0, 1, 2, 5, 10, 30]) {
      const worker = startWorker(path, "scores without end");
      await heard(worker);
      await delay(wait);
      await worker.terminate();
    }
    console.log("alive");
  },
  "workers that exit while they score": async (path) => {
    for (let i = 0; i < 4; i++) {
      const worker = startWorker(path, "exits while it scores");
      await heard(worker);
      console.log(await ended(worker));
    }
  },
  "worker terminated while loading": async (path) => {
    for (let i = 0; i < 5; i++) {
      const worker = startWorker(path, "loads");
      await heard(worker);
      await delay(2 * i);
      await worker.terminate();
    }
    await (await load(path)).score(SHORT);
    console.log("alive");
  },
  "worker ends with a model open": async (path) => {
    const worker = startWorker(path, "scores once");
    console.log(`${await heard(worker)} ${await ended(worker)}`);
    await (await load(path)).score(SHORT);
    console.log("alive");
  },
  "exit while a worker scores": async (path) => {
    const worker = startWorker(path, "scores without end");
    await heard(worker);
    process.exit(3);
  },
  "a model in each of several workers": async (path) => {
    const workers = [1, 2, 3].map(() => startWorker(path, "scores once"));
    const scores = Promise.all(workers.map(heard));
    const codes = Promise.all(workers.map(ended));
    const model = await load(path);
    const own = (await model.score(SHORT)).endScores.data[0];
    console.log(`${(await scores).every((score) => score === own)} ${await codes}`);
  },
  "exit while quantising": async (path) => {
    quantize(path, `${path}.quantised.gguf`, { type: "q8_0" });
    await delay(5);
    process.exit(3);
  },
  "a load that fails": async (path) => {
    const bad = await load(import.meta.filename).catch((error: unknown) => error);
    await (await load(path)).score(SHORT);
    console.log(isScoreheadError(bad, "ERR_GGUF") ? "alive" : String(bad));
  },
};

const [name = "", path = ""] = process.argv.slice(2);
const scenario = SCENARIOS[name];
if (!scenario) throw new Error(`There is no scenario ${name}.`);
await scenario(path);
