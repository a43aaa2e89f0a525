/** `scorehead rank` from end to end, on small checkpoints. */
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { convert } from "../../lib/index.ts";
import { writeFixture } from "../fixtures/checkpoints.ts";
import { type CliRun, jsonLines, outcome, runCli, startCli, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
const cost = join(folder, "cost.gguf");
const attributes = join(folder, "attributes.gguf");
const CACHE = { SCOREHEAD_CACHE: join(folder, "cache") };
const LOAD = ["--device", "cpu", "--threads", "1", "--kv", "f32", "--context", "2048"];

beforeAll(async () => {
  for (const [name, file] of [["beaver-cost", cost] as const, ["dpa", attributes] as const]) {
    const { directory } = await writeFixture(name, join(folder, name));
    await convert(directory, file, { type: "f32" });
  }
});

const rank = (model: string, args: readonly string[], run: CliRun = {}) =>
  runCli(["rank", model, ...LOAD, ...args], { ...run, env: CACHE });

interface Line {
  readonly index: number;
  readonly ranking: readonly { readonly index: number; readonly score: number }[];
}

/** The end scores of the answers to a prompt, as `score` gives them. */
async function scores(model: string, prompt: string, responses: readonly string[]): Promise<number[][]> {
  const input = responses.map((response) => JSON.stringify({ prompt, response })).join("\n");
  const { stdout } = await runCli(["score", model, ...LOAD, "--json", "--input", "-"], { input, env: CACHE });
  return jsonLines(stdout).map(({ endScores }) => endScores as number[]);
}

const ANSWERS = ["Hello! How can I help you today?", "Go away.", "Hm."];
const GIVEN = ["--prompt", "hello", ...ANSWERS.flatMap((answer) => ["--response", answer])];

test("--json has exactly the fields of the contract, the lowest cost first", async () => {
  const [{ code, stdout, stderr }, expected] = await Promise.all([
    rank(cost, [...GIVEN, "--json"]),
    scores(cost, "hello", ANSWERS),
  ]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const [line] = jsonLines(stdout) as unknown as [Line];
  expect(Object.keys(line)).toEqual(["index", "ranking"]);
  expect(line.ranking.map((ranked) => Object.keys(ranked))).toEqual(ANSWERS.map(() => ["index", "score"]));
  const order = ANSWERS.map((_, i) => i).sort((a, b) => (expected[a]?.[0] ?? 0) - (expected[b]?.[0] ?? 0));
  expect(line.ranking.map(({ index }) => index)).toEqual(order);
  for (const { index, score } of line.ranking) expect(score).toBeCloseTo(expected[index]?.[0] as number, 4);
});

test("people get a table, best first, with the start of each answer on one line", async () => {
  const long = `Two\nlines, ${"and more ".repeat(20)}`;
  const { code, stdout } = await rank(cost, [...GIVEN, "--response", long]);
  expect(code).toBe(0);
  const [header, ...rows] = stdout.trimEnd().split("\n");
  expect(header).toBe(" input  response        score  text");
  expect(rows).toHaveLength(4);
  for (const row of rows) expect(row).toMatch(/^ {5}0 {9}[0-3] +-?[\d.e-]+ {2}\S/);
  const numbers = rows.map((row) => Number(row.slice(16, 29)));
  expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
  expect(rows.find((row) => row.slice(6, 16).trim() === "3")).toMatch(/ {2}Two\\nlines, and more .*…$/);
});

describe("lines", () => {
  const LINES = [
    '{"id":"a","prompt":"q","responses":["x","y"]}',
    "no JSON",
    "",
    '{"id":2,"prompt":"q","response":"x"}',
    '{"prompt":"q","responses":[]}',
    '{"prompt":"q","responses":["x",7]}',
    '{"id":null,"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"x"},{"role":"user","content":"q"}],"responses":["x"]}',
    '{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"x"}],"responses":["x"]}',
    '{"id":"z","prompt":"","responses":["",""]}',
  ].join("\n");

  test("come back in order with their ids, bad ones as errors in place, and the exit code is 1", async () => {
    const path = join(folder, "lines.jsonl");
    writeFileSync(path, LINES);
    const { code, stdout, stderr } = await rank(cost, ["--json", "--input", path]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: "5 of the inputs failed.\n" });
    expect(jsonLines(stdout)).toMatchObject([
      { index: 0, id: "a", ranking: [{}, {}] },
      { index: 1, error: { code: "ERR_ARGUMENT", message: expect.stringContaining("Line 2 is not JSON") } },
      {
        index: 2,
        id: 2,
        error: { code: "ERR_ARGUMENT", message: expect.stringContaining('Line 4 has to hold "prompt"') },
      },
      { index: 3, error: { code: "ERR_ARGUMENT", message: expect.stringContaining("at least one") } },
      { index: 4, error: { code: "ERR_ARGUMENT" } },
      { index: 5, id: null, ranking: [{ index: 0 }] },
      { index: 6, error: { code: "ERR_TEMPLATE", message: expect.stringContaining("user turn") } },
      { index: 7, id: "z", ranking: [{}, {}] },
    ]);
  });

  test("for people: errors on stderr, one header", async () => {
    const { code, stdout, stderr } = await rank(cost, ["--input", "-"], { input: LINES });
    expect(code).toBe(1);
    expect(stdout.trimEnd().split("\n")).toHaveLength(1 + 2 + 1 + 2);
    expect(stderr).toMatch(/^input 6: .*\(ERR_TEMPLATE\)$/m);
  });

  test("of a slow writer are answered as they come", async () => {
    const child = startCli(["rank", cost, ...LOAD, "--json", "--input", "-"], { env: CACHE });
    const ended = outcome(child);
    for (const index of [0, 1]) {
      child.stdin.write('{"prompt":"q","responses":["x","y"]}\n');
      const [chunk] = (await once(child.stdout, "data")) as [Buffer];
      expect(JSON.parse(chunk.toString())).toMatchObject({ index });
    }
    child.stdin.end();
    expect(await ended).toMatchObject({ code: 0 });
  });
});

describe("--weights", () => {
  const json = async (weights: string): Promise<Line> => {
    const { code, stdout, stderr } = await rank(attributes, [...GIVEN, "--json", "--weights", weights]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return (jsonLines(stdout) as unknown as [Line])[0];
  };

  test("by label and in order weigh the outputs", async () => {
    const [byLabel, inOrder, expected] = await Promise.all([
      json("helpsteer-helpfulness=0.8,helpsteer-verbosity=-0.6"),
      json("0.8,0,0,0,-0.6,0,0,0,0,0"),
      scores(attributes, "hello", ANSWERS),
    ]);
    expect(inOrder.ranking.map(({ index }) => index)).toEqual(byLabel.ranking.map(({ index }) => index));
    for (const { index, score } of [...byLabel.ranking, ...inOrder.ranking])
      expect(score).toBeCloseTo(0.8 * (expected[index]?.[0] as number) - 0.6 * (expected[index]?.[4] as number), 3);
    const sums = byLabel.ranking.map(({ score }) => score);
    expect(sums).toEqual([...sums].sort((a, b) => b - a));
  });

  test.concurrent.each([
    ["missing", [], "10 outputs (helpsteer-helpfulness, "],
    ["too few", ["--weights", "1,2"], "10 finite numbers"],
    ["of an unknown label", ["--weights", "kindness=1"], '"kindness"'],
    ["no numbers", ["--weights", "helpsteer-verbosity=much"], "finite number"],
    ["half by label", ["--weights", "helpsteer-verbosity=1,2"], "label=number"],
    ["twice for a label", ["--weights", "a=1,a=2"], "twice"],
    ["two prompts", ["--prompt", "another"], "--prompt may be given once"],
  ])("%s are wrong usage", async (_, args, message) => {
    const { code, stdout, stderr } = await rank(attributes, [...GIVEN, ...args]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(message);
  });
});
