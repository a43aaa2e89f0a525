/** What a checkpoint's directory is called, however it is named: it tells the profile and where the checkpoint is from. */
import { mkdirSync, realpathSync, symlinkSync } from "node:fs";
import { dirname } from "node:path";
import { afterEach, beforeAll, expect, it } from "vitest";
import { HeadSource } from "../../lib/attach/head-source.ts";
import { planDirectory } from "../../lib/convert/run.ts";
import { attach } from "../../lib/index.ts";
import { foreignFile } from "../attach/support.ts";
import { writeFixture } from "../fixtures/checkpoints.ts";
import { workspace } from "../model/support.ts";

const space = workspace();
const { path } = space;
const OWNER = "PKU-Alignment";
const NAME = "beaver-7b-v1.0-cost";
const snapshot = (): string => path(`models--${OWNER}--${NAME}`, "snapshots", "abc123");

beforeAll(async () => {
  for (const directory of [snapshot(), path(NAME)]) {
    mkdirSync(dirname(directory), { recursive: true });
    await writeFixture("beaver-cost", directory);
  }
  symlinkSync(path(NAME), path("link"));
  symlinkSync(path(NAME), path("beaver-7b-v1.0-reward"));
  symlinkSync(snapshot(), path("cached"));
});

const home = process.cwd();
afterEach(() => process.chdir(home));

it.each<[string, () => string, string, string, string]>([
  ["a directory", () => path(NAME), "beaver-cost", "", ""],
  ["a link whose name says nothing", () => path("link"), "beaver-cost", "", ""],
  ["a link whose name says something", () => path("beaver-7b-v1.0-reward"), "beaver-reward", "", ""],
  ["a snapshot of the hub cache", () => snapshot(), "beaver-cost", `${OWNER}/${NAME}`, "abc123"],
  ["a link to one", () => path("cached"), "beaver-cost", `${OWNER}/${NAME}`, "abc123"],
])("%s", async (_, directory, profile, repository, revision) => {
  const expected = { head: { profile, source: { repository, revision } } };
  const input = { type: "auto" } as const;
  expect(await planDirectory(directory(), input)).toMatchObject(expected);
  process.chdir(directory());
  const isInside = realpathSync(directory()) === directory();
  // The working directory has no other name than the real one.
  if (isInside) expect(await planDirectory(".", input)).toMatchObject(expected);
});

it("the directory of a head as well", async () => {
  const file = await foreignFile(space, "beaver-cost");
  process.chdir(path(NAME));
  expect((await HeadSource.open(".")).name).toBe(path(NAME));
  const { head } = await attach(file, path("attached.gguf"), { head: "." });
  expect(head).toMatchObject({ profile: "beaver-cost", type: "cost" });
});
