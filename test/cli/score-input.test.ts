/** Lines of JSON → inputs. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Entry } from "../../lib/cli/lines.ts";
import { openInputs } from "../../lib/cli/score-input.ts";
import { ScoreheadError, type ScoreInput } from "../../lib/index.ts";
import { temporaryFolder } from "./run.ts";

const folder = temporaryFolder();

async function parse(content: string | Uint8Array): Promise<Entry<ScoreInput>[]> {
  const path = join(folder, "input.jsonl");
  writeFileSync(path, content);
  const entries: Entry<ScoreInput>[] = [];
  for await (const entry of await openInputs({ input: path })) entries.push(entry);
  return entries;
}

async function parseOne(line: string): Promise<unknown> {
  return (await parse(line))[0]?.content;
}

test("each kind of line is passed on as it is", async () => {
  expect(await parseOne('{"text":"a\\nb"}')).toBe("a\nb");
  expect(await parseOne('{"text":""}')).toBe("");
  expect(await parseOne('{"prompt":"p","response":"r"}')).toEqual({ prompt: "p", response: "r" });
  expect(await parseOne('{"response":"r","prompt":"p"}')).toEqual({ prompt: "p", response: "r" });
  expect(await parseOne('{"messages":[{"role":"user","content":"q"}]}')).toEqual({
    messages: [{ role: "user", content: "q" }],
  });
  expect(await parseOne('{"tokenIds":[1,2]}')).toEqual({ tokenIds: [1, 2] });
});

test("an id may be any JSON value and is kept apart", async () => {
  const ids = ['"a"', "7", "null", "false", '{"n":[1]}'];
  const entries = await parse(ids.map((id) => `{"id":${id},"text":"t"}`).join("\n"));
  expect(entries.map(({ tag }) => tag)).toEqual(ids.map((id) => ({ id: JSON.parse(id) })));
  expect((await parse('{"text":"t"}')).map(({ tag }) => tag)).toEqual([{}]);
});

test("blank lines are no inputs, and a last line needs no line end", async () => {
  const entries = await parse('\n{"text":"a"}\r\n   \n\n{"text":"b"}');
  expect(entries).toEqual([
    { index: 0, tag: {}, content: "a", end: 15 },
    { index: 1, tag: {}, content: "b", end: 33 },
  ]);
});

test("a line longer than a read, with characters of several bytes across its border, stays whole", async () => {
  const text = "äöü€👩‍🔬".repeat(20_000);
  expect(await parseOne(JSON.stringify({ text }))).toBe(text);
});

test("a byte order mark is no part of the first line", async () => {
  expect(await parseOne('\uFEFF{"text":"a"}')).toBe("a");
});

test.each([
  ["no JSON", "{text}", "ERR_ARGUMENT", /^Line 1 is not JSON/],
  ["no object", '["text"]', "ERR_ARGUMENT", /^Line 1 is not a JSON object/],
  ["null", "null", "ERR_ARGUMENT", /^Line 1 is not a JSON object/],
  ["an empty object", "{}", "ERR_ARGUMENT", /holds none of them/],
  ["an unknown key", '{"text":"a","reply":"b"}', "ERR_ARGUMENT", /holds "text", "reply"/],
  ["a key that JavaScript objects have", '{"text":"a","__proto__":{}}', "ERR_ARGUMENT", /holds "text", "__proto__"/],
  ["two kinds at once", '{"text":"a","tokenIds":[1]}', "ERR_ARGUMENT", /holds "text", "tokenIds"/],
  ["half a conversation", '{"prompt":"a"}', "ERR_ARGUMENT", /holds "prompt"/],
  ["a text that is none", '{"text":1}', "ERR_ARGUMENT", /"text" has to be a string/],
])("%s is an error of its line", async (_, line, code, message) => {
  expect(await parseOne(line)).toMatchObject({ name: "ScoreheadError", code, message: expect.stringMatching(message) });
});

test("bytes that are not UTF-8 spoil only their own line", async () => {
  const entries = await parse(Buffer.concat([Buffer.from([0x22, 0xff, 0x0a]), Buffer.from('{"text":"a"}')]));
  expect(entries[0]?.content).toMatchObject({ code: "ERR_TEXT" });
  expect(entries[1]).toMatchObject({ index: 1, tag: {}, content: "a" });
});

test("an error keeps the id of its line", async () => {
  expect(await parse('{"id":5,"texts":"a"}')).toMatchObject([
    { index: 0, tag: { id: 5 }, content: expect.any(ScoreheadError) },
  ]);
});

test("a missing file is an error at once", async () => {
  await expect(openInputs({ input: join(folder, "none.jsonl") })).rejects.toMatchObject({ code: "ERR_NOT_FOUND" });
});
