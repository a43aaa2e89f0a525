/** Overlapping calls: their order, aborting them, closing the model under them, several models, the log. */
import { beforeAll, beforeEach, describe, expect, it, type MockInstance, vi } from "vitest";
import { isScoreheadError, ScoreModel, type ScoreModelOutput } from "../../lib/index.ts";
import { addon } from "../../lib/runtime/addon.ts";
import type { NativeAddon } from "../../lib/runtime/contract.ts";
import { refused } from "../gguf/support.ts";
import { workspace } from "./support.ts";

const { gguf, load } = workspace();

/** More tokens than a micro-batch of 512 takes. */
const LONG = { tokenIds: Array.from({ length: 1200 }, (_, i) => 300 + i) };

/** Lets tests hold micro-batches back: each waits for `release`, one at a time. */
class Gate {
  readonly #spy: MockInstance<NativeAddon["decode"]>;
  readonly #waiting: (() => void)[] = [];
  #arrivals: (() => void)[] = [];

  constructor() {
    const native = addon();
    const decode = native.decode;
    this.#spy = vi.spyOn(native, "decode").mockImplementation(async (handle, batch) => {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        for (const arrived of this.#arrivals.splice(0)) arrived();
      });
      return decode(handle, batch);
    });
  }

  /** Resolves when a micro-batch waits. */
  async arrival(): Promise<void> {
    if (this.#waiting.length === 0) await new Promise<void>((resolve) => this.#arrivals.push(resolve));
  }

  get started(): number {
    return this.#spy.mock.calls.length;
  }

  release(): void {
    this.#waiting.shift()?.();
  }

  /** Lets everything through from now on. */
  open(): void {
    this.#spy.mockRestore();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

const OTHER = { tokenIds: Array.from({ length: 1200 }, (_, i) => 9000 + i) };

/** The same numbers to float rounding: what shares a micro-batch decides the order of additions. */
function expectSame(found: ScoreModelOutput | undefined, expected: ScoreModelOutput | undefined): void {
  expect(found?.tokenIds).toEqual(expected?.tokenIds);
  for (const [i, score] of (expected?.endScores.data ?? []).entries())
    expect(found?.endScores.data[i]).toBeCloseTo(score, 4);
}

let model: ScoreModel;
let gate: Gate | undefined;
beforeAll(async () => {
  model = await load("dpa", "f32", { context: 2048, kv: "f32" });
});
beforeEach(() => () => {
  gate?.open();
  gate = undefined;
});

describe("overlapping calls", () => {
  it("each get their own texts' scores", async () => {
    const texts = ["one", "two two", "three three three", "", "five"];
    const results = await Promise.all(texts.map((text) => model.score(text)));
    for (const [i, text] of texts.entries()) expectSame(results[i], await model.score(text));
  });

  it("share micro-batches", async () => {
    const before = model.stats().batches;
    await Promise.all(["p one", "p two", "p three"].map((text) => model.score(text)));
    expect(model.stats().batches - before).toBe(1);
  });

  it("take turns: a short call does not wait for a long one to end", async () => {
    const done: string[] = [];
    const long = model.score([LONG, { tokenIds: [...LONG.tokenIds].reverse() }, OTHER]).then(() => done.push("long"));
    const short = model.score("a short one").then(() => done.push("short"));
    await Promise.all([long, short]);
    expect(done).toEqual(["short", "long"]);
  });

  it("recover alone where their common micro-batch fails", async () => {
    const native = addon();
    const decode = native.decode;
    // Fails whenever token 777 is in the batch, as a text whose numbers overflow would.
    const spy = vi.spyOn(native, "decode").mockImplementation((handle, batch) => {
      if (!batch.tokens.includes(777)) return decode(handle, batch);
      return Promise.reject(Object.assign(new Error("not finite"), { code: "ERR_NON_FINITE" }));
    });
    try {
      const good = model.score("a good text");
      const bad = model.score({ tokenIds: [1, 777, 5] });
      const alsoGood = model.score(["another", "and another"]);
      await refused(bad, "ERR_NON_FINITE");
      await good;
      await alsoGood;
    } finally {
      spy.mockRestore();
    }
    expectSame(await model.score("a good text"), await model.score({ tokenIds: model.tokenize("a good text") }));
  });

  it("that fail do not hold up the next", async () => {
    const failing = model.score({ tokenIds: [-1] });
    const following = model.score("a");
    await refused(failing, "ERR_TOKEN");
    expect((await following).lengths).toHaveLength(1);
  });

  it("of several models go on side by side", async () => {
    const [beaver, starling] = [
      await load("beaver-reward", "f32", { kv: "f32" }),
      await load("starling", "f32", { kv: "f32" }),
    ];
    const alone = [await beaver.score("a text"), await starling.score("a text"), await model.score("a text")];
    const rounds = Array.from({ length: 5 }, () => [beaver, starling, model].map((each) => each.score("a text")));
    for (const round of rounds)
      for (const [i, output] of (await Promise.all(round)).entries()) expectSame(output, alone[i]);
  });

  it("of one file opened twice as well", async () => {
    const file = await gguf("beaver-reward");
    await using one = await ScoreModel.load(file, { device: "cpu", threads: 1 });
    await using two = await ScoreModel.load(file, { device: "cpu", threads: 1 });
    const [a, b] = await Promise.all([one.score("a"), two.score("a")]);
    expect(a.endScores).toEqual(b.endScores);
    await one.close();
    expect((await two.score("a")).endScores).toEqual(b.endScores);
  });
});

describe("aborting", () => {
  const aborted = "aborted by its signal";

  it("before the call", async () => {
    gate = new Gate();
    const reason = new Error("the caller's own");
    const error = await model.score("a", { signal: AbortSignal.abort(reason) }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "ERR_ABORTED", cause: reason });
    expect(gate.started).toBe(0);
  });

  it("while it waits for its turn, without waiting on", async () => {
    gate = new Gate();
    const running = model.score("a");
    const controller = new AbortController();
    const waiting = model.score("b", { signal: controller.signal });
    const behind = model.score("c");
    await gate.arrival();
    controller.abort();
    await refused(waiting, "ERR_ABORTED", aborted);
    expect(gate.started).toBe(1);
    gate.open();
    await Promise.all([running, behind]);
  });

  it("between two micro-batches", async () => {
    gate = new Gate();
    const controller = new AbortController();
    const running = model.score([LONG, LONG], { signal: controller.signal });
    await gate.arrival();
    controller.abort();
    await refused(running, "ERR_ABORTED", aborted);
    gate.release();
    const next = model.score("a");
    await gate.arrival();
    // The second is the next call's: nothing more of the aborted one was computed.
    expect(gate.started).toBe(2);
    gate.open();
    expectSame(await next, await model.score("a"));
  });

  it("during the last micro-batch", async () => {
    gate = new Gate();
    const controller = new AbortController();
    const running = model.score("not scored before", { signal: controller.signal });
    await gate.arrival();
    controller.abort();
    gate.open();
    await refused(running, "ERR_ABORTED", aborted);
  });

  it("after the call has no effect, and leaves no listener behind", async () => {
    const controller = new AbortController();
    const remove = vi.spyOn(controller.signal, "removeEventListener");
    await model.score("a", { signal: controller.signal });
    expect(remove).toHaveBeenCalledOnce();
    controller.abort();
    await model.score("a");
  });
});

describe("closing", () => {
  type State = "open" | "closing" | "closed";
  const fresh = async (state: State): Promise<ScoreModel> => {
    const made = await ScoreModel.load(await gguf("beaver-reward"), { device: "cpu", threads: 1 });
    if (state === "closing") {
      gate = new Gate();
      made.score("a").catch(() => {});
      await gate.arrival();
      made.close();
    }
    if (state === "closed") await made.close();
    return made;
  };
  const operations = {
    score: (made: ScoreModel) => made.score("a"),
    "score of nothing": (made: ScoreModel) => made.score([]),
    tokenize: async (made: ScoreModel) => made.tokenize("a"),
    close: (made: ScoreModel) => made.close(),
    asyncDispose: (made: ScoreModel) => made[Symbol.asyncDispose](),
    // Facts of the file, which stay known.
    tokenText: async (made: ScoreModel) => made.tokenText(1),
    info: async (made: ScoreModel) => made.info.type,
  } as const;
  const fails: Readonly<Record<State, readonly (keyof typeof operations)[]>> = {
    open: [],
    closing: ["score", "score of nothing", "tokenize"],
    closed: ["score", "score of nothing", "tokenize"],
  };
  const matrix = (["open", "closing", "closed"] as const).flatMap((state) =>
    (Object.keys(operations) as (keyof typeof operations)[]).map((operation) => ({
      state,
      operation,
      outcome: fails[state].includes(operation) ? "ERR_CLOSED" : "works",
    })),
  );

  it.each(matrix)("$operation on a model that is $state: $outcome", async ({ state, operation, outcome }) => {
    const made = await fresh(state);
    const running = operations[operation](made).then(
      () => "works",
      (error: unknown) => (isScoreheadError(error) ? error.code : error),
    );
    // A closing model waits for its micro-batch.
    if (state === "closing") setImmediate(() => gate?.open());
    expect(await running).toBe(outcome);
    gate?.open();
    await made.close();
  });

  it("rejects the call that runs and those that wait, once its micro-batch has ended", async () => {
    gate = new Gate();
    const made = await ScoreModel.load(await gguf("beaver-reward"), { device: "cpu", threads: 1 });
    const calls = [made.score([LONG, LONG]), made.score("a"), made.score("b")];
    const outcomes = Promise.all(calls.map((call) => refused(call, "ERR_CLOSED", "closed")));
    await gate.arrival();
    let closed = false;
    const closing = made.close().then(() => {
      closed = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(closed).toBe(false);
    expect(gate.started).toBe(1);
    gate.open();
    await outcomes;
    await closing;
  });

  it("frees the model once, however often it is called", async () => {
    const close = vi.spyOn(addon(), "closeModel");
    try {
      const made = await ScoreModel.load(await gguf("beaver-reward"), { device: "cpu", threads: 1 });
      await Promise.all([made.close(), made.close(), made[Symbol.asyncDispose]()]);
      await made.close();
      expect(close).toHaveBeenCalledOnce();
    } finally {
      close.mockRestore();
    }
  });
});

describe("the log", () => {
  it("is silent unless somebody listens, and then has levels and texts", async () => {
    const setLog = vi.spyOn(addon(), "setLog");
    const lines: [string, string][] = [];
    try {
      await (await ScoreModel.load(await gguf("beaver-reward"), { device: "cpu", threads: 1 })).close();
      expect(setLog).not.toHaveBeenCalled();
      const onLog = (level: string, text: string): void => {
        lines.push([level, text]);
      };
      const made = await ScoreModel.load(await gguf("beaver-reward"), { device: "cpu", threads: 1, onLog });
      await made.score("a");
      await made.close();
    } finally {
      setLog.mockRestore();
    }
    expect(lines.map(([, text]) => text).join("")).toContain("general.architecture");
    expect(new Set(lines.map(([level]) => level))).toContain("info");
    const heard = lines.length;
    await (await ScoreModel.load(await gguf("beaver-reward"), { device: "cpu", threads: 1 })).close();
    expect(lines).toHaveLength(heard);
  });

  it("stops with a load that fails", async () => {
    const lines: string[] = [];
    const onLog = (_: string, text: string): void => {
      lines.push(text);
    };
    await refused(ScoreModel.load(import.meta.filename, { device: "cpu", onLog }), "ERR_GGUF");
    await (await ScoreModel.load(await gguf("beaver-reward"), { device: "cpu", threads: 1 })).close();
    expect(lines).toEqual([]);
  });
});

describe("the event loop goes on", () => {
  /** Turns of the event loop until a promise settles. */
  async function turnsUntil(settled: Promise<unknown>): Promise<number> {
    let turns = 0;
    let going = true;
    const turn = (): void => {
      turns++;
      if (going) setImmediate(turn);
    };
    setImmediate(turn);
    await settled.catch(() => {});
    going = false;
    return turns;
  }

  it("while a long text is tokenized, and while many are", async () => {
    await using model = await load("beaver-cost", "f32");
    const long = "many words ".repeat(30_000);
    // Nothing is computed: the texts are too long.
    expect(await turnsUntil(refused(model.score(long), "ERR_INPUT_TOO_LONG", "tokens"))).toBeGreaterThan(5);
    const drain = async (): Promise<void> => {
      for await (const { error } of model.scoreStream([long, long])) expect(error?.code).toBe("ERR_INPUT_TOO_LONG");
    };
    expect(await turnsUntil(drain())).toBeGreaterThan(10);
    const many = Array.from({ length: 3000 }, (_, i) => ({ prompt: `${i}`, response: "long enough ".repeat(20) }));
    const over = [...many, { prompt: "", response: long }];
    expect(await turnsUntil(refused(model.score(over), "ERR_INPUT_TOO_LONG", "tokens"))).toBeGreaterThan(10);
  });

  it("and what was passed may be changed meanwhile", async () => {
    await using model = await load("beaver-cost", "f32");
    const message = { role: "user" as const, content: "hello" };
    const messages = [message, { role: "assistant" as const, content: "Hello!" }];
    const expected = await model.score({ messages });
    const filler = "many words ".repeat(400);
    const scored = model.score([filler, { messages }], { maxLength: 64 });
    message.content = "something else";
    messages.length = 0;
    expect((await scored).endScores.data[1]).toBeCloseTo(expected.endScores.data[0] as number, 4);
  });
});
