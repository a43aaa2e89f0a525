/** Damaged GGUF files are read or refused, never anything else. The type table agrees with llama.cpp's header. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { GGML_TYPES } from "../../lib/gguf/ggml-types.ts";
import { readGguf } from "../../lib/gguf/read.ts";
import { damaged, entry, rawGguf, surviveDamage, temporaryDirectory, tensor, text, u8, u32, u64 } from "./support.ts";

const path = temporaryDirectory();

it("survives damaged files", async () => {
  const valid = rawGguf({
    entries: [
      entry("general.alignment", 4, u32(32)),
      entry("general.name", 8, text("small")),
      entry("tokenizer.ggml.tokens", 9, u32(8), u64(3), text("a"), text("b"), text("c")),
      entry("numbers", 9, u32(6), u64(2), u32(0), u32(1)),
      entry("flag", 7, u8(1)),
    ],
    tensors: [tensor("a", [4, 2], 0, 0), tensor("b", [32], 8, 32)],
    data: Buffer.alloc(32 + 34),
  });
  const refusals = await surviveDamage(path("a.gguf"), damaged(valid, 1, 600), readGguf);
  expect(refusals).toBeGreaterThan(200);
  expect(refusals).toBeLessThan(600);
});

it("knows the tensor types of ggml.h", () => {
  const header = readFileSync(
    fileURLToPath(new URL("../../native/vendor/ggml/include/ggml.h", import.meta.url)),
    "utf8",
  );
  const types = [...header.matchAll(/^\s*GGML_TYPE_(\w+)\s*=\s*(\d+),/gm)].map(([, name, number]) => [
    Number(number),
    name,
  ]);
  expect([...GGML_TYPES].map(([number, { name }]) => [number, name])).toEqual(
    types.filter(([, name]) => name !== "COUNT").sort(([a], [b]) => Number(a) - Number(b)),
  );
});
