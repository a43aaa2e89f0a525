/** ScoreModel.scoreStream: order, bounded look-ahead, errors in place, slow sources, and leaving early. */
import { setTimeout } from "node:timers/promises";
import { beforeAll, describe, expect, it } from "vitest";
import {
  isScoreheadError,
  ScoreheadError,
  ScoreModel,
  type StreamInput,
  type StreamOptions,
  type StreamResult,
} from "../../lib/index.ts";
import { refused } from "../gguf/support.ts";
import { workspace } from "./support.ts";

const { gguf, load } = workspace();

let model: ScoreModel;
beforeAll(async () => {
  model = await load("beaver-normalized-reward", "f32", { kv: "f32" });
});

type Inputs = AsyncIterable<StreamInput> | Iterable<StreamInput>;

async function collect(inputs: Inputs, options?: StreamOptions): Promise<StreamResult[]> {
  const results: StreamResult[] = [];
  for await (const result of model.scoreStream(inputs, options)) results.push(result);
  return results;
}

const endScore = (result: StreamResult | undefined): number | undefined =>
  result && !result.error ? result.endScores.data[0] : undefined;

/** A source that is fed by hand; it counts what is asked of it. */
class Feed {
  asked = 0;
  closed = false;
  readonly #inputs: StreamInput[] = [];
  #ended = false;
  #wake = (): void => {};

  push(...inputs: StreamInput[]): void {
    this.#inputs.push(...inputs);
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<StreamInput> {
    try {
      while (true) {
        this.asked++;
        while (this.#inputs.length === 0 && !this.#ended)
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        const input = this.#inputs.shift();
        if (input === undefined) return;
        yield input;
      }
    } finally {
      this.closed = true;
    }
  }
}

/** Endless; counts what was read. */
function endless(make: (i: number) => StreamInput) {
  const counter = { read: 0, closed: false };
  const source = (function* () {
    try {
      while (true) yield make(counter.read++);
    } finally {
      counter.closed = true;
    }
  })();
  return { counter, source };
}

describe("results", () => {
  it("come in input order, each as score returns it", async () => {
    const texts = Array.from({ length: 700 }, (_, i) => `text ${(i * 7919) % 701} ${"of some length ".repeat(i % 5)}`);
    const results = await collect(texts, { perToken: true, hiddenStates: "end" });
    expect(results.map(({ index }) => index)).toEqual(texts.map((_, i) => i));
    for (const i of [0, 1, 350, 511, 512, 699]) {
      const [found, expected] = [results[i], await model.score(texts[i] ?? "", { perToken: true })];
      if (!found || found.error) throw new Error(`no result ${i}`);
      expect(found.tokenIds).toEqual(expected.tokenIds);
      expect(found.endScores.dims).toEqual([1, 1]);
      expect(found.scores?.dims).toEqual(expected.scores?.dims);
      expect(found.endLastHiddenState?.dims).toEqual([1, 64]);
      expect(endScore(found)).toBeCloseTo(expected.endScores.data[0] as number, 4);
    }
  });

  it("of an empty source are none", async () => {
    expect(await collect([])).toEqual([]);
  });

  it("that are errors stand in their place, and the others are scored", async () => {
    const own = new ScoreheadError("ERR_TEXT", "Line 3 is not UTF-8.");
    const inputs = ["a", { tokenIds: [-1] }, "b\ud800", own, { messages: [] }, 7 as never, "c"];
    const results = await collect(inputs);
    expect(results.map(({ index, error }) => [index, error?.code])).toEqual([
      [0, undefined],
      [1, "ERR_TOKEN"],
      [2, "ERR_TEXT"],
      [3, "ERR_TEXT"],
      [4, "ERR_TEMPLATE"],
      [5, "ERR_ARGUMENT"],
      [6, undefined],
    ]);
    expect(results[3]?.error).toBe(own);
    expect(endScore(results[6])).toBeCloseTo((await model.score("c")).endScores.data[0] as number, 4);
  });

  it("share what their texts have in common", async () => {
    const before = model.stats();
    const prefix = "a prefix that all of them have, word for word, and that is computed once, ".repeat(4);
    await collect(Array.from({ length: 50 }, (_, i) => `${prefix}${i}`));
    const { tokensAsked, tokensComputed } = model.stats();
    expect(tokensAsked - before.tokensAsked).toBeGreaterThan(10 * (tokensComputed - before.tokensComputed));
  });
});

describe("the source", () => {
  it("is read a few hundred inputs ahead, and no further while results are not taken", async () => {
    const { counter, source } = endless((i) => `text ${i}`);
    const stream = model.scoreStream(source);
    await stream.next();
    expect(counter.read).toBeLessThanOrEqual(513);
    await setTimeout(300);
    expect(counter.read).toBeLessThanOrEqual(513);
    for (let i = 0; i < 20; i++) await stream.next();
    expect(counter.read).toBeLessThanOrEqual(513 + 20);
    await stream.return();
    expect(counter.closed).toBe(true);
  });

  it("is read less far ahead where outputs are large", async () => {
    const wide = await load("beaver-reward", "f32", { kv: "f32" });
    // Hidden states of 2000 tokens of 256 numbers: 2 MB an input, of 256 MiB in all.
    const { counter, source } = endless((i) => ({
      tokenIds: Array.from({ length: 2000 }, (_, t) => 300 + t + (i % 7)),
    }));
    for await (const _ of wide.scoreStream(source, { hiddenStates: "all" })) break;
    expect(counter.read).toBeLessThanOrEqual(132);
  });

  it("that is slow does not hold up a result that is there", async () => {
    const feed = new Feed();
    const stream = model.scoreStream(feed);
    for (const text of ["one", "two", "three"]) {
      feed.push(text, { tokenIds: [-1] });
      // The source says nothing more until both are answered.
      const [scored, refusal] = [(await stream.next()).value, (await stream.next()).value];
      expect(endScore(scored as StreamResult)).toBeCloseTo((await model.score(text)).endScores.data[0] as number, 4);
      expect(refusal).toMatchObject({ error: { code: "ERR_TOKEN" } });
    }
    expect(feed.asked).toBe(7);
    feed.end();
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    expect(feed.closed).toBe(true);
  });

  it("that throws ends the loop with its error, after the results of what it gave", async () => {
    const results: number[] = [];
    const broken = async () => {
      const source = (function* () {
        yield* ["a", "b", "c"];
        throw new RangeError("no more");
      })();
      for await (const { index } of model.scoreStream(source)) results.push(index);
    };
    await expect(broken()).rejects.toThrow(new RangeError("no more"));
    expect(results).toEqual([0, 1, 2]);
  });

  it("may give its inputs as promises", async () => {
    const promised = [Promise.resolve("a"), Promise.resolve("b")] as unknown as StreamInput[];
    expect((await collect(promised)).map(endScore)).toEqual([expect.any(Number), expect.any(Number)]);
  });
});

describe("leaving the loop", () => {
  it("stops the work and frees what it held", async () => {
    const long = (i: number): StreamInput => ({ tokenIds: Array.from({ length: 900 }, (_, t) => 300 + i + t) });
    for await (const _ of model.scoreStream(Array.from({ length: 300 }, (_, i) => long(i)))) break;
    const { tokensComputed } = model.stats();
    await model.score("what comes next");
    // The micro-batch that was under way, and the next call's.
    expect(model.stats().tokensComputed - tokensComputed).toBeLessThan(2 * 512 + 10);
  });

  it("does not wait for a source that is busy", async () => {
    const feed = new Feed();
    feed.push("one");
    for await (const result of model.scoreStream(feed)) {
      expect(result.index).toBe(0);
      break;
    }
    feed.end();
  });

  it("by an error of the loop's own closes the source", async () => {
    const { counter, source } = endless(() => "a");
    const failing = async () => {
      for await (const _ of model.scoreStream(source)) throw new Error("mine");
    };
    await expect(failing()).rejects.toThrow("mine");
    expect(counter.closed).toBe(true);
  });
});

describe("ending from outside", () => {
  it("by the signal: the loop throws, even while it waits for the source", async () => {
    const feed = new Feed();
    const controller = new AbortController();
    const stream = model.scoreStream(feed, { signal: controller.signal });
    feed.push("one");
    await stream.next();
    const waiting = stream.next();
    controller.abort();
    await refused(waiting, "ERR_ABORTED");
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    feed.end();
  });

  it("by closing the model: the loop throws", async () => {
    const made = await ScoreModel.load(await gguf("beaver-normalized-reward"), { device: "cpu", threads: 1 });
    const { counter, source } = endless((i) => `text ${i}`);
    const codes: unknown[] = [];
    const running = async () => {
      for await (const { error } of made.scoreStream(source)) {
        codes.push(error);
        made.close();
      }
    };
    await refused(running(), "ERR_CLOSED");
    expect(counter.closed).toBe(true);
    // What was computed before is told.
    expect(codes.every((code) => code === undefined)).toBe(true);
    expect(() => made.scoreStream([])).toThrow(expect.objectContaining({ code: "ERR_CLOSED" }));
  });
});

describe("wrong options", () => {
  it("are the stream's fault and no input's", async () => {
    await refused(collect(["a"], { maxLength: 1_000_000 }), "ERR_ARGUMENT", "maxLength", "positions");
    const refuse = (options: object): unknown => {
      try {
        return model.scoreStream([], options);
      } catch (error) {
        return isScoreheadError(error) && error.code;
      }
    };
    expect(refuse({ onProgress: () => {} })).toBe("ERR_ARGUMENT");
    expect(refuse({ perToken: 1 })).toBe("ERR_ARGUMENT");
  });
});
