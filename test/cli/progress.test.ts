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
