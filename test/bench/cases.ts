/** The benchmark's workloads, as token ids: every engine computes the same tokens and none tokenizes. */

/** Calls that are made one after the other; the texts of a call are given together. */
export interface Workload {
  readonly name: string;
  readonly calls: readonly (readonly (readonly number[])[])[];
  readonly perToken: boolean;
  /** What sharing prefixes saves at most: tokens asked over distinct tokens. */
  readonly bound: number;
}

/** A small generator, so that every run and engine has the same tokens; ids that every vocabulary has. */
export function tokens(count: number, seed: number): number[] {
  let state = seed * 2_654_435_761 + 1;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return 300 + (state % 31_000);
  });
}

const many = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));
const withBos = (ids: readonly number[]): number[] => [1, ...ids];

function bound(calls: Workload["calls"]): number {
  const seen = new Set<string>();
  let asked = 0;
  for (const text of calls.flat()) {
    asked += text.length;
    let key = "";
    for (const id of text) {
      key += `${id},`;
      seen.add(key);
    }
  }
  return asked / seen.size;
}

function workload(name: string, calls: Workload["calls"], perToken = false): Workload {
  return { name, calls, perToken, bound: bound(calls) };
}

export function workloads(): Workload[] {
  const prompt = withBos(tokens(399, 1));
  const rubric = withBos(tokens(49, 2));
  const conversation = withBos(tokens(479, 3));
  return [
    workload("independent: 6 texts of 256", [many(6, (i) => withBos(tokens(255, 10 + i)))]),
    workload("best of 16: prompt 400, answers 50", [many(16, (i) => [...prompt, ...tokens(50, 100 + i)])]),
    workload("rubric 50, 64 samples of 50", [many(64, (i) => [...rubric, ...tokens(50, 200 + i)])]),
    workload(
      "conversation: 8 turns of 60",
      many(8, (i) => [conversation.slice(0, 60 * (i + 1))]),
    ),
    workload("256 short texts of 16", [many(256, (i) => withBos(tokens(15, 400 + i)))]),
    workload("per token: 6 texts of 256", [many(6, (i) => withBos(tokens(255, 700 + i)))], true),
  ];
}
