/** A checkpoint's directory as a model: converted once, kept in the cache, found again by its content. */
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { convert, ScoreModel } from "../../lib/index.ts";
import { resolveSource } from "../../lib/source/resolve.ts";
import { writeFixture } from "../fixtures/checkpoints.ts";
import { refused, temporaryDirectory } from "../gguf/support.ts";

const path = temporaryDirectory();

const SMALL = "beaver-old-tokenizer";
/** The files of the cache that a model could be loaded from. */
const converted = (): string[] => {
  const folder = path("cache", "converted");
  const names = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: "utf8" }) : [];
  return names.filter((name) => name.endsWith(".gguf")).sort();
};

let directory: string;
beforeEach(async () => {
  process.env.SCOREHEAD_CACHE = path("cache");
  directory = path("beaver-reward");
  await writeFixture(SMALL, directory);
});

describe("a directory", () => {
  it("is converted at the first load and reused at the second", async () => {
    const options = { device: "cpu", threads: 1 } as const;
    await using model = await ScoreModel.load(directory, options);
    const [name = ""] = converted();
    const file = path("cache", "converted", name);
    expect(model.info).toMatchObject({ path: file, profile: "beaver-reward" });
    const written = statSync(file).mtimeMs;
    await using again = await ScoreModel.load(directory, options);
    expect(again.info.path).toBe(file);
    expect(statSync(file).mtimeMs).toBe(written);
    expect((await again.score("a")).endScores).toEqual((await model.score("a")).endScores);
  });

  it("converts to what convert writes", async () => {
    const file = await resolveSource(directory, {});
    await convert(directory, path("direct.gguf"));
    expect(readFileSync(file).equals(readFileSync(path("direct.gguf")))).toBe(true);
  });

  it("is converted again when a file's content changes, at the same size as well", async () => {
    const first = await resolveSource(directory, {});
    const config = join(directory, "config.json");
    const { atime, mtime } = statSync(config);
    const text = readFileSync(config, "utf8");
    const changed = text.replace('"max_position_embeddings": 2048', '"max_position_embeddings": 1024');
    expect(changed).not.toBe(text);
    writeFileSync(config, changed);
    expect(await resolveSource(directory, {})).not.toBe(first);
    writeFileSync(config, text);
    // As when a repository is checked out again: an old time does not mean old content, nor the reverse.
    utimesSync(config, atime, mtime);
    expect(await resolveSource(directory, {})).toBe(first);
    expect(converted()).toHaveLength(2);
  });

  it("is not converted again for a file that converting does not read", async () => {
    const first = await resolveSource(directory, {});
    writeFileSync(join(directory, "README.md"), "new");
    expect(await resolveSource(directory, {})).toBe(first);
  });

  it("of the same name and content elsewhere is the same model", async () => {
    const first = await resolveSource(directory, {});
    cpSync(directory, path("elsewhere", "beaver-reward"), { recursive: true });
    expect(await resolveSource(path("elsewhere", "beaver-reward"), {})).toBe(first);
  });

  it("of the same content in a cache of another repository is another model", async () => {
    const repositories = [
      "PKU-Alignment--beaver-7b-v1.0-cost",
      "PKU-Alignment--beaver-7b-v1.0-reward",
      "me--beaver-cost",
    ];
    const snapshots = repositories.map((name) => path(`models--${name}`, "snapshots", "abc"));
    const files: string[] = [];
    for (const snapshot of snapshots) {
      cpSync(directory, snapshot, { recursive: true });
      files.push(await resolveSource(snapshot, {}));
    }
    expect(new Set(files).size).toBe(3);
    await using cost = await ScoreModel.load(snapshots[0] as string, { device: "cpu", threads: 1 });
    expect(cost.info.type).toBe("cost");
  });

  it("is another model under another profile", async () => {
    const first = await resolveSource(directory, {});
    const second = await resolveSource(directory, { profile: "beaver-cost" });
    expect(second).not.toBe(first);
    // The profile that is chosen anyway is no other one.
    expect(await resolveSource(directory, { profile: "beaver-reward" })).toBe(first);
  });

  it("warns of its assumptions every time", async () => {
    cpSync(directory, path("unknown"), { recursive: true });
    for (let time = 0; time < 2; time++) {
      const warnings: string[] = [];
      await resolveSource(path("unknown"), { onWarning: (message) => warnings.push(message) });
      expect(warnings).toEqual([expect.stringContaining("score_type")]);
    }
  });

  it("that cannot be converted leaves nothing in the cache", async () => {
    writeFileSync(join(directory, "model-00001-of-00002.safetensors"), "broken");
    await refused(resolveSource(directory, {}), "ERR_SAFETENSORS");
    expect(converted()).toEqual([]);
  });

  it("survives a damaged memory of hashes", async () => {
    const first = await resolveSource(directory, {});
    for (const damage of ["{", "[]", "null", '"text"', '{"x":1}']) {
      writeFileSync(path("cache", "hashes.json"), damage);
      expect(await resolveSource(directory, {}), damage).toBe(first);
    }
  });

  it("may be asked for by several at once", async () => {
    const files = await Promise.all([1, 2, 3].map(() => resolveSource(directory, {})));
    expect(new Set(files).size).toBe(1);
    expect(converted()).toHaveLength(1);
  });
});

it("a second directory's tokenizer counts too", async () => {
  const { directory: starling, tokenizerDirectory } = await writeFixture("starling-plain", path("starling"));
  const options = { tokenizer: tokenizerDirectory };
  const first = await resolveSource(starling, options);
  expect(await resolveSource(starling, options)).toBe(first);
  const config = join(tokenizerDirectory, "config.json");
  writeFileSync(config, readFileSync(config, "utf8").replace('"rms_norm_eps": 0.00001', '"rms_norm_eps": 0.00002'));
  expect(await resolveSource(starling, options)).not.toBe(first);
  await refused(resolveSource(starling, {}), "ERR_TOKENIZER", "--tokenizer");
});

it("a file is itself, and takes no second tokenizer", async () => {
  await convert(directory, path("a.gguf"));
  expect(await resolveSource(path("a.gguf"), {})).toBe(path("a.gguf"));
  const load = ScoreModel.load(path("a.gguf"), { tokenizer: directory });
  await refused(load, "ERR_ARGUMENT", "tokenizer", "Leave it out");
  expect(converted()).toEqual([]);
});

it("a cache that cannot be made is an error that says how to choose another", async () => {
  writeFileSync(path("file"), "");
  process.env.SCOREHEAD_CACHE = path("file", "cache");
  await refused(resolveSource(directory, {}), "ERR_IO", path("file", "cache"), "SCOREHEAD_CACHE");
});

it("a file of the directory that leads nowhere is named", async () => {
  symlinkSync(path("none"), join(directory, "special_tokens_map2.json"));
  await refused(resolveSource(directory, {}), "ERR_NOT_FOUND", "special_tokens_map2.json");
});

it("what does not exist is an error that says what can be named", async () => {
  await refused(resolveSource(path("none"), {}), "ERR_NOT_FOUND", path("none"), ".gguf", "directory");
  await refused(resolveSource(directory, { tokenizer: path("none") }), "ERR_NOT_FOUND", path("none"));
});
