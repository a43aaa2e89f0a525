/** Names that come from users and from the network: what has the form of a model's name, and paths that lead astray. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseHubName } from "../../lib/hub/name.ts";
import { pull } from "../../lib/hub/pull.ts";
import { failureOf, hubWorld, QUICK, snapshotOf } from "./support.ts";

const world = hubWorld();

describe("a model's name", () => {
  it.each([
    ["owner/name", ["owner/name", "main", null]],
    ["PKU-Alignment/beaver-7b-v1.0-cost:q8_0", ["PKU-Alignment/beaver-7b-v1.0-cost", "main", "q8_0"]],
    ["owner/name@v1.0", ["owner/name", "v1.0", null]],
    ["owner/name@refs/pr/1:q4_k_m", ["owner/name", "refs/pr/1", "q4_k_m"]],
    ["owner/name@my--branch", ["owner/name", "my--branch", null]],
    ["o_w/n.1@0123456789012345678901234567890123456789", ["o_w/n.1", "0123456789012345678901234567890123456789", null]],
  ])("is %s", (text, parts) => {
    const { repository, revision, type } = parseHubName(text) ?? {};
    expect([repository, revision, type]).toEqual(parts);
  });

  it.each([
    "name",
    "a/b/c",
    "./a/b",
    "../a",
    "/a/b",
    "a\\b",
    "C:/x",
    "a--b/c",
    "a/b..c",
    "-a/b",
    "a/b.",
    "a/b@",
    "a/b:",
    "a/b@x:y:z",
    "a/b@x@y",
    "a/b@../../x",
    "a/b@/etc",
    "a/b@x\\..\\y",
    "a/b@x//y",
    "a/b c",
    "a/b\n",
    `a/${"b".repeat(97)}`,
    "https://huggingface.co/a/b",
    "",
  ])("is not %j", (text) => {
    expect(parseHubName(text)).toBeNull();
  });
});

describe("a listing", () => {
  it.each([
    "../evil.json",
    "..",
    "a/../../evil.json",
    "/etc/evil.json",
    "..\\evil.json",
    "a\\..\\..\\evil.json",
    "\\\\host\\share\\evil.json",
    "C:evil.json",
    "c:\\evil.json",
    "a\0b",
  ])("that names %j is refused", async (path) => {
    world.hub.commit("owner/model", { "config.json": "{}", "model.safetensors": "x", [path]: "evil" });
    const error = await failureOf(() => snapshotOf("owner/model"));
    expect(error.code).toBe("ERR_HUB");
    expect(error.message).toContain("not a plain path inside the repository");
  });

  it.each([
    "../../../evil.safetensors",
    "/evil.safetensors",
    "a/./b.safetensors",
    "a//b.safetensors",
    "NUL.safetensors",
    "x:stream.safetensors",
    "com1/b.safetensors",
    "b.safetensors ",
    "a/b.safetensors.",
    "line\nbreak.safetensors",
  ])("whose index names the shard %j is refused", async (path) => {
    const leaves = path.includes("..") || path.startsWith("/");
    world.hub.commit("owner/model", {
      "config.json": "{}",
      "model.safetensors.index.json": JSON.stringify({ weight_map: { a: path } }),
      ...(!leaves && { [path]: "evil" }),
    });
    const error = await failureOf(async () => pull(await snapshotOf("owner/model"), QUICK));
    expect(error.code).toBe(leaves ? "ERR_CHECKPOINT" : "ERR_HUB");
    const written = existsSync(world.cache) ? readdirSync(world.cache, { recursive: true, encoding: "utf8" }) : [];
    expect(written.filter((name) => /evil|nul|com1|stream|break|b\.safetensors/i.test(name))).toEqual([]);
  });

  it("may name files that are odd and not needed", async () => {
    world.hub.commit("owner/model", {
      "model.safetensors": "x",
      "aux.md": "notes",
      "2024-01-01T10:00.txt": "a log",
      "...": "dots",
      "a..b/c..json": "more dots",
    });
    const directory = await pull(await snapshotOf("owner/model"), QUICK);
    expect(readdirSync(directory)).toEqual(["model.safetensors"]);
    expect(existsSync(join(directory, "aux.md"))).toBe(false);
  });
});
