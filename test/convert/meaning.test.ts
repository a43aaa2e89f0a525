/** What a profile and a config together say about a head. */
import { describe, expect, it } from "vitest";
import { headMeaning, readingOf } from "../../lib/convert/meaning.ts";
import { findProfile } from "../../lib/prompt/profiles.ts";
import type { Profile } from "../../lib/prompt/types.ts";

const meaning = (name: string, config: Readonly<Record<string, unknown>>, outputs: number) => {
  const reading = readingOf(findProfile(name) as Profile, config, 4096, { repository: "", revision: "" });
  return { profile: reading.profile, read: reading.read, ...headMeaning(reading, config, outputs) };
};

describe("custom", () => {
  const labels = (id2label: unknown, outputs: number) => meaning("custom", { id2label }, outputs).labels;

  it("is a reward with one output, whatever the config calls it", () => {
    expect(meaning("custom", { id2label: { 0: "LABEL_0" } }, 1)).toEqual({
      profile: "custom",
      type: "reward",
      labels: ["reward"],
      read: "hf",
    });
  });

  it("is attributes with several, by the config's names", () => {
    expect(meaning("custom", {}, 2).type).toBe("attributes");
    expect(labels({ 0: "helpful", 1: "harmless" }, 2)).toEqual(["helpful", "harmless"]);
    expect(labels({ 0: "LABEL_0", 1: "LABEL_1" }, 2)).toEqual(["LABEL_0", "LABEL_1"]);
  });

  it.each([
    ["missing", undefined],
    ["null", null],
    ["too few", { 0: "a" }],
    ["twice the same", { 0: "a", 1: "a" }],
    ["empty", { 0: "a", 1: "" }],
    ["no texts", { 0: 1, 1: 2 }],
  ])("counts them where the names are %s", (_, id2label) => {
    expect(labels(id2label, 2)).toEqual(["attribute_0", "attribute_1"]);
  });
});

describe("internlm2", () => {
  it.each([
    [{ reward_token_id: 7 }, "token:7"],
    [{}, "token:92527"],
    [{ reward_token_id: null }, "token:92527"],
    [{ reward_token_id: -1 }, "token:92527"],
  ])("%j is read at %s", (config, read) => {
    expect(meaning("internlm2", config, 1).read).toBe(read);
  });
});

it("a family's own labels go before the config's", () => {
  expect(meaning("dpa", { id2label: { 0: "LABEL_0" } }, 10).labels[0]).toBe("helpsteer-helpfulness");
  expect(() => meaning("dpa", {}, 9)).toThrow(expect.objectContaining({ code: "ERR_HEAD" }));
});
