/** Token ids given by the caller, and truncation. */
import { describe, expect, it } from "vitest";
import { checkIds } from "../../lib/tokens/check-ids.ts";
import { truncateIds } from "../../lib/tokens/truncate.ts";

describe("checkIds", () => {
  it("copies arrays and typed arrays", () => {
    const given = Int32Array.of(1, 0, 9);
    const checked = checkIds(given, 10);
    given[0] = 5;
    expect(checked).toEqual(Int32Array.of(1, 0, 9));
    expect(checkIds([3, 4], 10)).toEqual(Int32Array.of(3, 4));
  });

  it.each([
    [[1, 10], 1, "10"],
    [[-1], 0, "-1"],
    [[0, 1, 1.5], 2, "1.5"],
    [[Number.NaN], 0, "NaN"],
    [["1"], 0, "1"],
    [[0, undefined], 1, "undefined"],
    // biome-ignore lint/suspicious/noSparseArray: a hole is what is tested
    [[0, , 1], 1, "undefined"],
    [[2 ** 32], 0, "4294967296"],
    [Int32Array.of(0, -7), 1, "-7"],
  ])("refuses %j, naming index and value", (ids, index, value) => {
    expect(() => checkIds(ids, 10)).toThrow(
      expect.objectContaining({
        code: "ERR_TOKEN",
        message: expect.stringContaining(
          `tokenIds[${index}] is ${value}; this model's token ids are the integers from 0 to 9`,
        ),
      }),
    );
  });

  it.each([[[]], [new Int32Array(0)], ["1,2"], [null], [{ length: 1, 0: 1 }], [Float32Array.of(1)]])(
    "refuses %j as an argument",
    (ids) => {
      expect(() => checkIds(ids, 10)).toThrow(expect.objectContaining({ code: "ERR_ARGUMENT" }));
    },
  );
});

describe("truncateIds", () => {
  const ids = Int32Array.of(1, 11, 12, 13, 14, 15);

  it("keeps what fits", () => {
    expect(truncateIds(ids, { maxLength: 6, side: "left", keepBos: 1 })).toEqual({ ids, dropped: 0 });
  });

  it.each([
    ["left with BOS: BOS and the last tokens", "left", 1, 4, [1, 13, 14, 15]],
    ["left to one token: BOS", "left", 1, 1, [1]],
    ["left without BOS to keep", "left", null, 4, [12, 13, 14, 15]],
    ["left of a sequence without BOS", "left", 7, 5, [11, 12, 13, 14, 15]],
    ["right: the first tokens", "right", 1, 4, [1, 11, 12, 13]],
  ] as const)("%s", (_, side, keepBos, maxLength, expected) => {
    const result = truncateIds(ids, { maxLength, side, keepBos });
    expect(result).toEqual({ ids: Int32Array.from(expected), dropped: 6 - maxLength });
    expect(ids).toEqual(Int32Array.of(1, 11, 12, 13, 14, 15));
  });

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])("refuses maxLength %d", (maxLength) => {
    expect(() => truncateIds(ids, { maxLength, side: "left", keepBos: 1 })).toThrow(
      expect.objectContaining({ code: "ERR_ARGUMENT" }),
    );
  });
});
