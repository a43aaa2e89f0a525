/** The planner against a model of llama.cpp's cache: right for every row, whatever is shared, and computed once. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Planner } from "../../lib/batch/planner.ts";
import { type BatchLimits, OUTSIDE_TEXT, type Row } from "../../lib/batch/types.ts";
import { MAX_SEQUENCES } from "../../lib/runtime/contract.ts";
import { FakeLlama, hashKeys } from "./fake-llama.ts";

const LIMITS: BatchLimits = { contextTokens: 64, batchTokens: 8, maxOutputs: 5, sequences: MAX_SEQUENCES };

/** What arrived for a row: a score a token, the score at the read position, and its gating network's input. */
interface Collected {
  readonly scores: Map<number, number>;
  readonly hidden: Set<number>;
  gate: number | null;
}

const collectors = () => {
  const all = new Map<Row, Collected>();
  return (row: Row): Collected => {
    const found = all.get(row) ?? { scores: new Map(), hidden: new Set(), gate: null };
    all.set(row, found);
    return found;
  };
};

/** A planner and what gives it rows: windows, each asked for when the one before is used up. */
function newPlanner(limits: BatchLimits) {
  const windows: Row[][] = [];
  // Kept over calls: a row may take over outputs of one that an earlier call computed.
  return { planner: new Planner(limits, () => windows.shift() ?? []), windows, collected: collectors() };
}

/** Computes some windows to their end. Returns what arrived and the rows in the order they finished. */
function run({ planner, windows, collected }: ReturnType<typeof newPlanner>, llama: FakeLlama, ...given: Row[][]) {
  const finished: Row[] = [];
  const rows = given.flat();
  windows.push(...given.filter(({ length }) => length > 0));
  for (let batch = planner.plan(); batch; batch = planner.plan()) {
    const scores = batch.native ? llama.decode(batch.native) : [];
    expect(scores).toHaveLength(batch.deliveries.length);
    for (const [i, deliveries] of batch.deliveries.entries())
      for (const { row, token, hidden, gate } of deliveries) {
        collected(row).scores.set(token, scores[i] as number);
        if (hidden) collected(row).hidden.add(token);
        if (gate) collected(row).gate = scores[i] as number;
      }
    for (const { from, to, count } of batch.shared) {
      if (to.gate !== null && to.gate < count) collected(to).gate = collected(from).gate;
      for (let token = 0; token < count; token++) {
        const score = collected(from).scores.get(token);
        if (score !== undefined) collected(to).scores.set(token, score);
        if (collected(from).hidden.has(token)) collected(to).hidden.add(token);
      }
    }
    finished.push(...batch.finished);
  }
  expect(new Set(finished)).toEqual(new Set(rows));
  expect(finished).toHaveLength(rows.length);
  return { collected, finished };
}

/** Each output that the row asks for is there, and is the hash of exactly the keys that it should see. */
function expectRight(row: Row, { scores, hidden, gate }: Collected): void {
  const keys = Array.from(row.tokens, (token, position) => ({ token, position }));
  const expected = (token: number): number =>
    hashKeys(keys.slice(0, token + 1), (row.tokens[token] as number) * 7919 + token);
  const all = row.perToken || row.hidden === "all";
  const tokens = all ? keys.map(({ position }) => position) : typeof row.read === "number" ? [row.read] : [];
  for (const token of tokens) expect(scores.get(token), `token ${token}`).toBe(expected(token));
  expect(gate, "gate").toBe(row.gate === null ? null : expected(row.gate));
  if (row.hidden === "all") for (const { position } of keys) expect(hidden.has(position)).toBe(true);
  if (row.hidden === "end" && typeof row.read === "number") expect(hidden.has(row.read)).toBe(true);
  if (typeof row.read === "number") return;
  expect(scores.get(OUTSIDE_TEXT)).toBe(hashKeys(keys, row.read.token * 7919 + row.read.position));
  expect(hidden.has(OUTSIDE_TEXT)).toBe(row.hidden !== "none");
}

function row(tokens: readonly number[], more: Partial<Row> = {}): Row {
  return {
    tokens: Int32Array.from(tokens),
    read: tokens.length - 1,
    gate: null,
    perToken: false,
    hidden: "none",
    keep: true,
    ...more,
  };
}

/** The nodes of the rows' prefix tree: what has to be computed where no output stands in the way. */
function distinctPrefixes(rows: readonly Row[]): number {
  const seen = new Set<string>();
  for (const { tokens } of rows) for (let n = 1; n <= tokens.length; n++) seen.add(tokens.slice(0, n).join());
  return seen.size;
}

const count = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

describe("each distinct prefix once", () => {
  const cases: Record<string, Row[]> = {
    "one prompt, many answers": count(0, 20).map((i) => row([...count(100, 112), 200 + i, 300 + i])),
    duplicates: [row([1, 2, 3]), row([1, 2, 3]), row([1, 2, 3])],
    "one text a prefix of another": [row([1, 2, 3, 4, 5]), row([1, 2, 3]), row([1])],
    "rows longer than a micro-batch": [row(count(0, 30)), row([...count(0, 20), 99, 98]), row([...count(0, 9), 77])],
    "a deep tree": [row([1, 2, 3, 4]), row([1, 2, 3, 5]), row([1, 2, 6]), row([1, 7, 8]), row([1, 7, 9]), row([10])],
    "per-token output on shared tokens": count(0, 6).map((i) => row([...count(0, 12), 50 + i], { perToken: true })),
    "a gate at the end of a shared prompt": count(0, 6).map((i) => row([...count(0, 12), 50 + i, i], { gate: 11 })),
    "hidden states on shared tokens": count(0, 6).map((i) => row([...count(0, 12), 50 + i], { hidden: "all" })),
  };
  for (const [name, rows] of Object.entries(cases))
    it(name, () => {
      const all = newPlanner(LIMITS);
      const llama = new FakeLlama(LIMITS);
      const { collected } = run(all, llama, rows);
      for (const each of rows) expectRight(each, collected(each));
      expect(llama.computed).toBe(distinctPrefixes(rows));
      expect(all.planner.stats).toEqual({
        asked: rows.reduce((sum, { tokens }) => sum + tokens.length, 0),
        computed: llama.computed,
      });
    });

  it("computes a prompt's end again for a gate that no row before had there", () => {
    const planner = newPlanner({ ...LIMITS, batchTokens: 32 });
    const llama = new FakeLlama({ ...LIMITS, batchTokens: 32 });
    const answer = (last: number, gate: number | null): Row => row([...count(0, 12), last], { gate });
    const [first, second, third] = [answer(50, null), answer(51, 11), answer(52, 11)];
    for (const each of [first, second, third]) expectRight(each, run(planner, llama, [each]).collected(each));
    // The prefix cache holds keys and values, and no gates; the second's gate is the third's too.
    expect(llama.computed).toBe(13 + 2 + 1);
  });

  it("does not compute tokens behind the last output", () => {
    const llama = new FakeLlama(LIMITS);
    const rows = [row(count(0, 20), { read: 4 })];
    const { collected } = run(newPlanner(LIMITS), llama, rows);
    expectRight(rows[0] as Row, collected(rows[0] as Row));
    expect(llama.computed).toBe(5);
  });

  it("takes more rows than there are sequences", () => {
    const limits = { contextTokens: 2048, batchTokens: 512, maxOutputs: 512, sequences: MAX_SEQUENCES };
    const rows = count(0, 700).map((i) => row([1, 2, 10 + i]));
    const llama = new FakeLlama(limits);
    const { collected } = run(newPlanner(limits), llama, rows);
    for (const each of rows) expectRight(each, collected(each));
    expect(llama.computed).toBe(702);
  });
});

describe("across windows", () => {
  it("computes only what a conversation grew by", () => {
    const planner = newPlanner(LIMITS);
    const llama = new FakeLlama(LIMITS);
    for (const turns of [1, 2, 3, 4]) {
      const before = llama.computed;
      const grown = row(count(0, 10 * turns));
      const { collected } = run(planner, llama, [grown]);
      expectRight(grown, collected(grown));
      expect(llama.computed - before).toBe(10);
    }
  });

  it("computes a prompt again after long disuse, and keeps few cells meanwhile", () => {
    const limits = { contextTokens: 4096, batchTokens: 512, maxOutputs: 64, sequences: MAX_SEQUENCES };
    const planner = newPlanner(limits);
    const llama = new FakeLlama(limits);
    run(planner, llama, [row(count(0, 40))]);
    for (let i = 1; i <= 40; i++) run(planner, llama, [row(count(1000 * i, 1000 * i + 100))]);
    expect(llama.mostCells).toBeLessThan(8 * 100 + 512);
    const before = llama.computed;
    run(planner, llama, [row(count(0, 41))]);
    expect(llama.computed - before).toBe(41);
  });

  it("carries nothing of an earlier text beside many that have no use for it", () => {
    const limits = { contextTokens: 4096, batchTokens: 128, maxOutputs: 64, sequences: MAX_SEQUENCES };
    const planner = newPlanner(limits);
    const llama = new FakeLlama(limits);
    run(planner, llama, [row(count(0, 300))]);
    llama.mostCells = 0;
    run(
      planner,
      llama,
      count(1, 6).map((i) => row(count(1000 * i, 1000 * i + 200), { keep: false })),
    );
    expect(llama.mostCells).toBeLessThanOrEqual(200 + 128); // one text, and a micro-batch that ends it and begins another
  });

  it("carries of an earlier text what many others share with it", () => {
    const limits = { contextTokens: 4096, batchTokens: 128, maxOutputs: 64, sequences: MAX_SEQUENCES };
    const planner = newPlanner(limits);
    const llama = new FakeLlama(limits);
    run(planner, llama, [row(count(0, 300))]);
    llama.mostCells = 0;
    const before = llama.computed;
    const rows = count(1, 6).map((i) => row([...count(0, 40), ...count(1000 * i, 1000 * i + 160)], { keep: false }));
    const { collected } = run(planner, llama, rows);
    for (const each of rows) expectRight(each, collected(each));
    expect(llama.computed - before).toBe(5 * 160);
    expect(llama.mostCells).toBeLessThanOrEqual(40 + 160 + 128);
  });

  it("fills a micro-batch from several windows", () => {
    const llama = new FakeLlama(LIMITS);
    const rows = count(0, 8).map((i) => row([i, 50 + i]));
    const { collected } = run(newPlanner(LIMITS), llama, ...rows.map((each) => [each]));
    for (const each of rows) expectRight(each, collected(each));
    expect(llama.batches).toBe(2); // 16 tokens in micro-batches of 8
  });

  it("goes on after a reset and after rows were dropped", () => {
    const all = newPlanner(LIMITS);
    const llama = new FakeLlama(LIMITS);
    const gone = row(count(0, 30));
    const kept = row([...count(0, 15), 99]);
    all.windows.push([gone, kept]);
    const first = all.planner.plan();
    if (first?.native) llama.decode(first.native);
    all.planner.drop((each) => each === gone);
    const collected = collectors();
    for (let batch = all.planner.plan(); batch; batch = all.planner.plan()) {
      const scores = batch.native ? llama.decode(batch.native) : [];
      for (const [i, deliveries] of batch.deliveries.entries())
        for (const { row: to, token } of deliveries) collected(to).scores.set(token, scores[i] as number);
    }
    expectRight(kept, collected(kept));
    expect([...collected(gone).scores]).toEqual([]);
    all.windows.push([gone]);
    all.planner.plan();
    all.planner.reset();
    expectRight(gone, run(all, llama, [gone]).collected(gone));
  });
});

describe("any tree", () => {
  const tokens = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 24 });
  const anyRow = fc
    .record({
      tokens,
      perToken: fc.boolean(),
      hidden: fc.constantFrom("none", "end", "all" as const),
      keep: fc.boolean(),
      read: fc.oneof(fc.constant("last" as const), fc.constant("early" as const), fc.integer({ min: 0, max: 9 })),
      gate: fc.option(fc.integer({ min: 0, max: 23 })),
    })
    .map(({ tokens: ids, read, gate, ...more }) => {
      const last = ids.length - 1;
      const at = read === "last" ? last : read === "early" ? last >> 1 : { token: 9, position: ids.length + read };
      return row(ids, { ...more, read: at, gate: gate === null ? null : gate % ids.length } as Partial<Row>);
    });
  const anyLimits = fc.record({
    contextTokens: fc.integer({ min: 27, max: 80 }),
    batchTokens: fc.integer({ min: 1, max: 16 }),
    maxOutputs: fc.integer({ min: 1, max: 16 }),
    sequences: fc.constantFrom(64, MAX_SEQUENCES),
  });

  it("is right over several windows, within the limits, and never computes more than was asked", () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(anyRow, { maxLength: 12 }), { minLength: 1, maxLength: 4 }),
        anyLimits,
        (windows, limits) => {
          const all = newPlanner(limits);
          const llama = new FakeLlama(limits);
          // Some windows one after the other, the rest in one go.
          const apart = windows.length >> 1;
          for (const given of [...windows.slice(0, apart).map((rows) => [rows]), windows.slice(apart)]) {
            const { collected } = run(all, llama, ...given);
            for (const each of given.flat()) expectRight(each, collected(each));
          }
          const cards = windows.flat().filter(({ read }) => typeof read !== "number").length;
          expect(all.planner.stats.computed).toBeLessThanOrEqual(all.planner.stats.asked + 2 * cards);
        },
      ),
      { numRuns: 3000, seed: 7 },
    );
  });
});
