/** The example on beaver's card, through a tokenizer converted from tokenizer.json alone. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { workspace } from "../model/support.ts";

const { checkpoint, load } = workspace();

it("has 28 tokens, end index 27 and 28 score rows, without a tokenizer.model", async () => {
  const model = await load("beaver-cost", "bf16");
  const { directory } = await checkpoint("beaver-cost");
  expect(existsSync(join(directory, "tokenizer.json"))).toBe(true);
  expect(existsSync(join(directory, "tokenizer.model"))).toBe(false);
  const text = "BEGINNING OF CONVERSATION: USER: hello ASSISTANT:Hello! How can I help you today?";
  const output = await model.score(text, { perToken: true });
  expect([...output.lengths]).toEqual([28]);
  expect([...output.endIndex.data]).toEqual([27]);
  expect(output.scores?.dims).toEqual([1, 28, 1]);
  expect(output.endScores.data[0]).toBe(output.scores?.data[27]);
});
