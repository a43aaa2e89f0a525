/** `scorehead score` from end to end, on small checkpoints. */
import { once } from "node:events";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { convert } from "../../lib/index.ts";
import { writeFixture } from "../fixtures/checkpoints.ts";
import { beaverText } from "../fixtures/texts.ts";
import { type CliRun, jsonLines, outcome, runCli, startCli, temporaryFolder } from "./run.ts";

const folder = temporaryFolder();
const cost = join(folder, "cost.gguf");
const attributes = join(folder, "attributes.gguf");
const HEADLESS = fileURLToPath(new URL("../../native/vendor/models/ggml-vocab-llama-spm.gguf", import.meta.url));
const GREETING = beaverText("hello", "Hello! How can I help you today?");
const EOS = 2;

beforeAll(async () => {
  for (const [name, file] of [["beaver-cost", cost] as const, ["dpa", attributes] as const]) {
    const { directory } = await writeFixture(name, join(folder, name));
    await convert(directory, file, { type: "f32" });
  }
});

function score(model: string, args: readonly string[], { env, ...run }: CliRun = {}) {
  // A cache of the test's own: a runtime that was built on this machine must not change what is tested.
  // One thread: the threads of processes that run at once would wait for each other.
  return runCli(["score", model, "--device", "cpu", "--threads", "1", "--kv", "f32", ...args], {
    ...run,
    env: { SCOREHEAD_CACHE: join(folder, "cache"), ...env },
  });
}

interface Line {
  readonly index: number;
  readonly tokenIds: number[];
  readonly endIndex: number;
  readonly endScores: number[];
  readonly truncated: number;
  readonly scores: number[][];
  readonly endLastHiddenState: number[];
  readonly lastHiddenState: number[][];
}

async function scoreLines(model: string, args: readonly string[], run?: CliRun): Promise<Line[]> {
  const { code, stdout, stderr } = await score(model, ["--json", ...args], run);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return jsonLines(stdout) as unknown as Line[];
}

describe("--json", () => {
  test("has exactly the fields of the contract, in its order", async () => {
    const [line] = await scoreLines(cost, ["--text", GREETING]);
    const fields = ["index", "type", "tokenIds", "endIndex", "endScores", "labels", "truncated"];
    expect(Object.keys(line as Line)).toEqual(fields);
    expect(line).toMatchObject({ index: 0, type: "cost", endIndex: 27, labels: ["cost"], truncated: 0 });
    expect(line?.tokenIds).toHaveLength(28);
    const [full] = await scoreLines(cost, ["--text", GREETING, "--per-token", "--hidden", "all"]);
    expect(Object.keys(full as Line)).toEqual([...fields, "scores", "endLastHiddenState", "lastHiddenState"]);
  });

  test("per-token scores and hidden states have a row a token, and the end's are among them", async () => {
    const [line] = await scoreLines(attributes, ["--text", "Hi", "--per-token", "--hidden", "all"]);
    const { tokenIds, endIndex, endScores, scores, endLastHiddenState, lastHiddenState } = line as Line;
    expect(scores.map((row) => row.length)).toEqual(tokenIds.map(() => 10));
    expect(lastHiddenState.map((row) => row.length)).toEqual(tokenIds.map(() => 64));
    expect(scores[endIndex]).toEqual(endScores);
    expect(lastHiddenState[endIndex]).toEqual(endLastHiddenState);
  });

  test("--hidden end leaves the others out, and numbers are float32 values in full", async () => {
    const [line] = await scoreLines(cost, ["--text", GREETING, "--hidden", "end"]);
    expect(line).not.toHaveProperty("lastHiddenState");
    const numbers = [...(line as Line).endLastHiddenState, ...(line as Line).endScores];
    expect(numbers).toHaveLength(65);
    expect(numbers).toEqual(numbers.map(Math.fround));
  });

  test("--prompt and --response go through the template, and so do lines of each kind", async () => {
    const [whole] = await scoreLines(cost, ["--text", GREETING]);
    const conversation = { prompt: "hello", response: "Hello! How can I help you today?" };
    const messages = [
      { role: "user", content: conversation.prompt },
      { role: "assistant", content: conversation.response },
    ];
    const input = [{ text: GREETING }, conversation, { messages }, { tokenIds: whole?.tokenIds }];
    const [byOption, byLine] = await Promise.all([
      scoreLines(cost, ["--prompt", conversation.prompt, "--response", conversation.response]),
      scoreLines(cost, ["--input", "-"], { input: input.map((line) => JSON.stringify(line)).join("\n") }),
    ]);
    expect(byOption).toEqual([whole]);
    expect(byLine.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    for (const line of byLine) {
      expect(line.tokenIds).toEqual(whole?.tokenIds);
      expect(line.endScores[0]).toBeCloseTo(whole?.endScores[0] as number, 4);
    }
  });

  test("lines of different lengths keep their own rows", async () => {
    const texts = ["", GREETING, "one two", GREETING.slice(0, 40)];
    const alone = await Promise.all(texts.map((text) => scoreLines(cost, ["--text", text, "--per-token"])));
    const together = await scoreLines(cost, texts.flatMap((text) => ["--text", text]).concat("--per-token"));
    for (const [i, line] of together.entries()) {
      const own = alone[i]?.[0] as Line;
      expect(line.tokenIds).toEqual(own.tokenIds);
      expect(line.scores).toHaveLength(own.scores.length);
      for (const [t, row] of line.scores.entries()) expect(row[0]).toBeCloseTo(own.scores[t]?.[0] as number, 4);
    }
  });

  test("texts are cut to --max-length, from the side asked for", async () => {
    const [whole, left, right] = await Promise.all(
      [[], ["--max-length", "9"], ["--max-length", "9", "--truncate", "right"]].map((args) =>
        scoreLines(cost, ["--text", GREETING, ...args]),
      ),
    );
    const ids = whole?.[0]?.tokenIds as number[];
    expect(left?.[0]).toMatchObject({ truncated: 19, endIndex: 8, tokenIds: [ids[0], ...ids.slice(20)] });
    expect(right?.[0]).toMatchObject({ truncated: 19, endIndex: 8, tokenIds: ids.slice(0, 9) });
  });

  test("--append-eos appends to texts and not to token ids", async () => {
    const input = `{"text":"a"}\n{"tokenIds":[1,5]}`;
    const [text, ids] = await scoreLines(cost, ["--append-eos", "--input", "-"], { input });
    expect(text?.tokenIds.at(-1)).toBe(EOS);
    expect(ids?.tokenIds).toEqual([1, 5]);
  });
});

describe("bad inputs", () => {
  const INPUT = [
    '{"id":"first","text":"a"}',
    "no JSON",
    '{"id":[2],"text":"b","txt":"c"}',
    "",
    '{"tokenIds":[99999999]}',
    '{"id":null,"messages":[{"role":"user","content":"q"}]}',
    '{"id":"last","text":"z"}',
  ].join("\n");

  test("each becomes an error in its place, the others are scored, and the exit code is 1", async () => {
    const path = join(folder, "bad.jsonl");
    writeFileSync(path, INPUT);
    const { code, stdout, stderr } = await score(cost, ["--json", "--input", path]);
    expect(code).toBe(1);
    expect(stderr).toBe("4 of the inputs failed.\n");
    expect(jsonLines(stdout)).toMatchObject([
      { index: 0, id: "first", type: "cost" },
      { index: 1, error: { code: "ERR_ARGUMENT", message: expect.stringContaining("Line 2 is not JSON") } },
      { index: 2, id: [2], error: { code: "ERR_ARGUMENT", message: expect.stringContaining('"txt"') } },
      { index: 3, error: { code: "ERR_TOKEN" } },
      { index: 4, id: null, error: { code: "ERR_TEMPLATE" } },
      { index: 5, id: "last", type: "cost" },
    ]);
    expect(Object.keys(jsonLines(stdout)[1] as object)).toEqual(["index", "error"]);
  });

  test("people read of them on stderr, and the table holds the others", async () => {
    const { code, stdout, stderr } = await score(cost, ["--input", "-"], { input: INPUT });
    expect(code).toBe(1);
    expect(stdout.trimEnd().split("\n")).toHaveLength(3);
    expect(stderr).toMatch(/^input 1: Line 2 is not JSON.*\(ERR_ARGUMENT\)$/m);
    expect(stderr).toMatch(/^input 3: .*\(ERR_TOKEN\)$/m);
  });

  test("a text above the model's length is one, with the numbers and the remedy", async () => {
    const { code, stdout } = await score(cost, ["--json", "--text", "word ".repeat(3000)]);
    expect(code).toBe(1);
    expect(jsonLines(stdout)).toMatchObject([
      {
        index: 0,
        error: { code: "ERR_INPUT_TOO_LONG", message: expect.stringMatching(/\d+ tokens.*2048.*maxLength/) },
      },
    ]);
  });

  test("no inputs at all are no failure", async () => {
    expect(await score(cost, ["--json", "--input", "-"], { input: "\n\n" })).toMatchObject({ code: 0, stdout: "" });
  });
});

describe("for people", () => {
  test("a row says what the score means", async () => {
    const { code, stdout } = await score(cost, ["--text", GREETING, "--text", ""]);
    expect(code).toBe(0);
    const [header, first, second] = stdout.split("\n");
    expect(header).toBe(" index tokens truncated  score");
    expect(first).toMatch(/^ {5}0 {5}28 {9}0 {2}cost -?[\d.]+: (safe, <= 0|harmful, > 0)$/);
    expect(second).toMatch(/^ {5}1 {6}1 {9}0 {2}cost /);
  });

  test("a model with several outputs has a row for each", async () => {
    const { stdout } = await score(attributes, ["--text", "Hi"]);
    expect(stdout.match(/helpsteer-\w+ -?[\d.e-]+: .* on HelpSteer's scale from 0 to 4$/gm)).toHaveLength(5);
    expect(stdout.match(/ultrafeedback-\w+ -?[\d.e-]+: on a scale from 0 to 100$/gm)).toHaveLength(5);
  });

  test("--per-token lists the tokens", async () => {
    const { stdout } = await score(cost, ["--text", "hello", "--per-token"]);
    const rows = stdout.trimEnd().split("\n").slice(2);
    expect(rows[0]?.trim()).toMatch(/^position {2}token {4,}cost$/);
    expect(rows[1]?.trim()).toMatch(/^0 {2}"<s>" +-?[\d.e-]+$/);
    expect(rows[2]?.trim()).toMatch(/^1 {2}"▁hello" +-?[\d.e-]+$/);
    expect(rows).toHaveLength(3);
  });
});

describe("gates", () => {
  let end: number;
  beforeAll(async () => {
    end = (await scoreLines(cost, ["--text", GREETING]))[0]?.endScores[0] as number;
  });

  test("trip with 3 above or below the limit, and say which input it was", async () => {
    const text = ["--text", "", "--text", GREETING, "--json"];
    const [above, below] = await Promise.all([
      score(cost, [...text.slice(2), "--fail-above", String(end - 0.1)]),
      score(cost, [...text.slice(2), "--fail-below", String(end + 0.1)]),
    ]);
    expect(above).toMatchObject({ code: 3, stderr: expect.stringMatching(/^gate: input 0 scores .*, above /) });
    expect(below).toMatchObject({ code: 3, stderr: expect.stringMatching(/^gate: input 0 scores .*, below /) });
    expect(jsonLines(above.stdout)).toHaveLength(1);
  });

  test("a score at the limit passes, and so does one within", async () => {
    const results = await Promise.all([
      score(cost, ["--text", GREETING, "--fail-above", String(end)]),
      score(cost, ["--text", GREETING, "--fail-below", String(end)]),
      score(cost, ["--text", GREETING, "--fail-above", "1e9"]),
    ]);
    expect(results.map(({ code }) => code)).toEqual([0, 0, 0]);
  });

  test("a failed input goes before a tripped gate", async () => {
    const input = `{"text":"a"}\nbad`;
    expect(await score(cost, ["--input", "-", "--fail-above", "-1e9"], { input })).toMatchObject({ code: 1 });
  });

  test("are wrong usage for a model with several outputs", async () => {
    const { code, stderr, stdout } = await score(attributes, ["--text", "a", "--fail-above", "0"]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("this one has 10 (helpsteer-helpfulness, ");
  });
});

describe("models", () => {
  test.concurrent.each([
    ["a missing one", join(folder, "none.gguf"), "ERR_NOT_FOUND"],
    ["no GGUF file", fileURLToPath(import.meta.url), "ERR_GGUF"],
    ["a file without score head", HEADLESS, "ERR_NO_HEAD"],
  ])("%s exits with 1", async (_, path, code) => {
    const result = await score(path, ["--text", "a"]);
    expect(result).toMatchObject({ code: 1, stdout: "" });
    expect(result.stderr).toContain(`(${code})`);
  });

  test("an unknown profile is wrong usage", async () => {
    const { code, stderr } = await score(cost, ["--text", "a", "--profile", "beaver"]);
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining("beaver-reward, beaver-cost") });
  });

  test("a checkpoint's directory is converted into the cache once", async () => {
    const cache = join(folder, "converted-cache");
    const run = () =>
      score(join(folder, "beaver-cost"), ["--json", "--text", GREETING], { env: { SCOREHEAD_CACHE: cache } });
    const first = await run();
    expect(first).toMatchObject({ code: 0 });
    const files = () => readdirSync(join(cache, "converted"), { recursive: true, encoding: "utf8" });
    const made = files();
    expect(made.filter((name) => name.endsWith(".gguf"))).toHaveLength(1);
    expect(await run()).toEqual(first);
    expect(files()).toEqual(made);
  });

  test("a directory without tokenizer takes the base model's, and a file takes none", async () => {
    const { directory, tokenizerDirectory = "" } = await writeFixture(
      "starling-plain",
      join(folder, "Starling-RM-7B-alpha"),
    );
    const args = ["--text", "a", "--tokenizer", tokenizerDirectory];
    const [alone, given, file] = await Promise.all([
      score(directory, args.slice(0, 2)),
      score(directory, args),
      score(cost, args),
    ]);
    expect(alone).toMatchObject({ code: 1, stderr: expect.stringContaining("ERR_TOKENIZER") });
    expect(given).toMatchObject({ code: 0, stderr: "" });
    expect(file).toMatchObject({ code: 2, stderr: expect.stringContaining("Leave it out") });
  });

  test("GPU options reach the model", async () => {
    const [main, split] = await Promise.all([
      score(cost, ["--text", "a", "--gpu-layers", "-1", "--main-gpu", "1"]),
      score(cost, ["--text", "a", "--tensor-split", "3,1"]),
    ]);
    expect(main).toMatchObject({ code: 1, stderr: expect.stringMatching(/"mainGpu" is 1.*ERR_DEVICE/) });
    expect(split).toMatchObject({ code: 1, stderr: expect.stringMatching(/"tensorSplit" has 2 shares.*ERR_DEVICE/) });
  });
});

describe("a stream", () => {
  const start = (args: readonly string[]) =>
    startCli(["score", cost, "--device", "cpu", "--threads", "1", ...args], {
      env: { SCOREHEAD_CACHE: join(folder, "cache") },
    });

  test("a slow writer's lines are answered as they come, bad ones too", async () => {
    const child = start(["--json", "--input", "-"]);
    const ended = outcome(child);
    for (const [index, line] of ['{"text":"a"}', "bad", '{"text":"b"}'].entries()) {
      child.stdin.write(`${line}\n`);
      const [chunk] = (await once(child.stdout, "data")) as [Buffer];
      expect(JSON.parse(chunk.toString())).toMatchObject({ index });
    }
    child.stdin.end();
    expect(await ended).toMatchObject({ code: 1 });
  });

  test("thousands of lines keep their order, with bad ones in their places", async () => {
    const lines = Array.from({ length: 3000 }, (_, i) =>
      i % 100 === 7 ? "bad" : JSON.stringify({ id: i, text: `${(i * 7919) % 3001}` }),
    );
    const { code, stdout } = await score(cost, ["--json", "--input", "-"], { input: lines.join("\n") });
    expect(code).toBe(1);
    const results = jsonLines(stdout);
    expect(results.map(({ index }) => index)).toEqual(lines.map((_, i) => i));
    expect(results.filter(({ error }) => error).map(({ index }) => index)).toEqual(
      lines.flatMap((line, i) => (line === "bad" ? [i] : [])),
    );
    for (const { index, id, error } of results) expect(id).toBe(error ? undefined : index);
  });

  test("an option that does not fit the model is wrong usage, and no line's fault", async () => {
    const { code, stdout, stderr } = await score(cost, ["--text", "a", "--max-length", "100000"]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("positions");
  });
});

test("a reader that leaves (`| head`) ends the program without a word", async () => {
  const lines = Array.from({ length: 200 }, (_, i) => JSON.stringify({ text: `${GREETING} ${i}` })).join("\n");
  const path = join(folder, "many.jsonl");
  writeFileSync(path, lines);
  const args = ["score", cost, "--device", "cpu", "--json", "--hidden", "all", "--input", path];
  const child = startCli(args, { env: { SCOREHEAD_CACHE: join(folder, "cache") } });
  const ended = outcome(child);
  await once(child.stdout, "data");
  child.stdout.destroy();
  const { code, stderr } = await ended;
  expect({ code, stderr }).toEqual({ code: 141, stderr: "" });
});
