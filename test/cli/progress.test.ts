/** What is shown of a long job, and when. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { describeAnswering, ProgressLine, stageProgress } from "../../lib/cli/progress.ts";

const ERASE = "\r\x1b[K";
const STATS = { tokensAsked: 8000, tokensComputed: 2000, tokensReused: 6000, batches: 4, milliseconds: 900 };

class Screen {
  readonly written: string[] = [];
  constructor(readonly isTTY: boolean) {}
  write(text: string): void {
    this.written.push(text);
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe("on a terminal", () => {
  test("the line is rewritten at most ten times a second, and removed at the end", () => {
    const screen = new Screen(true);
    const line = new ProgressLine(screen);
    for (let i = 0; i < 30; i++) {
      line.update(() => `at ${i}`);
      vi.advanceTimersByTime(10);
    }
    expect(screen.written).toEqual([`${ERASE}at 10`, `${ERASE}at 20`]);
    line.end();
    line.end();
    expect(screen.written.slice(2)).toEqual([ERASE]);
  });

  test("what is said stands above it", () => {
    const screen = new Screen(true);
    const line = new ProgressLine(screen);
    line.say("before");
    line.update(() => "half", true);
    line.say("warning");
    expect(screen.written).toEqual(["before\n", `${ERASE}half`, `${ERASE}warning\nhalf`]);
  });
});

describe("getting a model", () => {
  const MB = 1e6;

  test("has a bar a stage on a terminal, with rate and time left, which stays until the end", () => {
    const screen = new Screen(true);
    const line = new ProgressLine(screen);
    const progress = stageProgress(line);
    progress({ stage: "download", bytes: 0, total: 100 * MB });
    vi.advanceTimersByTime(2000);
    progress({ stage: "download", bytes: 40 * MB, total: 100 * MB });
    vi.advanceTimersByTime(1000);
    progress({ stage: "convert", bytes: 1 * MB, total: 100 * MB });
    vi.advanceTimersByTime(1000);
    progress({ stage: "convert", bytes: 51 * MB, total: 100 * MB });
    const download = "downloading [########------------] 40 %, 40.0 MB of 100 MB";
    expect(screen.written).toEqual([
      `${ERASE}${download}, 20.0 MB/s, 3 s left`,
      `${ERASE}${download}, 13.3 MB/s, 5 s left\nconverting  [--------------------] 1 %, 1.00 MB of 100 MB`,
      `${ERASE}\x1b[A${ERASE}${download}, 10.0 MB/s, 6 s left\n` +
        "converting  [##########----------] 51 %, 51.0 MB of 100 MB, 50.0 MB/s, 1 s left",
    ]);
    line.end();
    expect(screen.written.at(-1)).toBe(`${ERASE}\x1b[A${ERASE}`);
  });

  test("what an earlier process has done is no part of the rate", () => {
    const screen = new Screen(true);
    const progress = stageProgress(new ProgressLine(screen));
    progress({ stage: "download", bytes: 80 * MB, total: 100 * MB });
    vi.advanceTimersByTime(1000);
    progress({ stage: "download", bytes: 90 * MB, total: 100 * MB });
    expect(screen.written).toEqual([
      `${ERASE}downloading [##################--] 90 %, 90.0 MB of 100 MB, 10.0 MB/s, 1 s left`,
    ]);
  });

  test("a line fits the terminal", () => {
    const screen = Object.assign(new Screen(true), { columns: 40 });
    new ProgressLine(screen).update(() => "x".repeat(100), true);
    expect(screen.written).toEqual([`${ERASE}${"x".repeat(39)}`]);
  });
});

test("elsewhere there is a line every half minute, and none of a short job", () => {
  const screen = new Screen(false);
  const line = new ProgressLine(screen);
  const progress = stageProgress(line);
  for (let second = 0; second <= 65; second++) {
    progress({ stage: "convert", bytes: second * 1e6, total: 65e6 });
    vi.advanceTimersByTime(1000);
  }
  line.say("warning");
  line.end();
  expect(screen.written).toEqual([
    "converting: 46 %, 30.0 MB of 65.0 MB, 1.00 MB/s, 35 s left\n",
    "converting: 92 %, 60.0 MB of 65.0 MB, 1.00 MB/s, 5 s left\n",
    "warning\n",
  ]);
});

describe("answering inputs", () => {
  test("says how many, how fast, and what was shared; of a file also how much of it, and how long it will take", () => {
    expect(describeAnswering({ count: 50, bytes: 2500, size: 10_000 }, 20, STATS)).toBe(
      "50 inputs, 2.5/s, 100 tokens/s, 75 % reused, 25 % of the file, 60 s left",
    );
    expect(describeAnswering({ count: 50, bytes: 2500, size: null }, 20, STATS)).toBe(
      "50 inputs, 2.5/s, 100 tokens/s, 75 % reused",
    );
  });

  test.each([
    [1, "54 s"],
    [10, "9 min"],
    [600, "9.0 h"],
  ])("with a fifty-fifth of the file done in %i s, there are %s left", (seconds, left) => {
    const done = { count: 1, bytes: 100, size: 5500 };
    expect(describeAnswering(done, seconds, STATS)).toContain(`, 1 % of the file, ${left} left`);
  });
});
