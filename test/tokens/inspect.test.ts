/** `inspect` on byte-level tokenizers: the name of what was recognised, or the rule that stands in the way. */
import { readFileSync, writeFileSync } from "node:fs";
import { beforeAll, expect, it } from "vitest";
import { convert, inspect } from "../../lib/index.ts";
import { writeFixture } from "../fixtures/checkpoints.ts";
import { familyFiles } from "../fixtures/families.ts";
import { workspace } from "../model/support.ts";

const { path } = workspace();

beforeAll(async () => {
  const { size } = await familyFiles("qwen2", 300);
  await writeFixture(
    {
      layout: "dpa",
      size: { hidden: 32, intermediate: 32, layers: 1, heads: 1, kvHeads: 1, vocabulary: size + 10 },
      dtype: "F16",
      seed: 1,
      shards: 1,
      tokenizer: { family: "qwen2", size: 300 },
    },
    path("qwen"),
  );
});

it("names the tokenizer, of the checkpoint and of the file", async () => {
  await convert(path("qwen"), path("qwen.gguf"), { profile: "dpa" });
  const { size } = await familyFiles("qwen2", 300);
  for (const what of [path("qwen"), path("qwen.gguf")])
    expect(await inspect(what)).toMatchObject({
      problems: [],
      tokenizer: {
        vocabularySize: size + 10,
        preTokenizer: "qwen2",
        addBos: false,
        bosId: null,
        addedTokens: expect.arrayContaining(["<|im_start|>", "<tool_call>"]),
      },
    });
});

it("quotes the pre-tokenizer that is not known", async () => {
  const file = path("qwen", "tokenizer.json");
  const json = readFileSync(file, "utf8");
  writeFileSync(file, json.replaceAll("'ll|'d)", "'ll|'d|'y)"));
  const { problems } = await inspect(path("qwen"));
  expect(problems).toEqual([
    {
      code: "ERR_TOKENIZER",
      message: expect.stringMatching(/tokenizer\.json .*pre_tokenizer is unknown: .*'ll\|'d\|'y\)/),
    },
  ]);
  writeFileSync(file, json);
});
