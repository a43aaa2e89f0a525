/** Loading a checkpoint's directory: how far it is, and stopping it. */
import { existsSync, readdirSync } from "node:fs";
import { expect, it, vi } from "vitest";
import { type Progress, ScoreModel } from "../../lib/index.ts";
import { addon } from "../../lib/runtime/addon.ts";
import { refused } from "../gguf/support.ts";
import { workspace } from "./support.ts";

const { checkpoint, gguf, path } = workspace();

const OPTIONS = { device: "cpu", threads: 1 } as const;
const converted = (): string[] => {
  const folder = path("cache", "converted");
  return existsSync(folder) ? readdirSync(folder) : [];
};

it("a signal stops the conversion and leaves no file", async () => {
  const { directory } = await checkpoint("beaver-cost");
  const controller = new AbortController();
  const onProgress = () => controller.abort();
  await refused(ScoreModel.load(directory, { ...OPTIONS, signal: controller.signal, onProgress }), "ERR_ABORTED");
  expect(converted()).toEqual([]);
  const signal = AbortSignal.abort();
  await refused(ScoreModel.load(directory, { ...OPTIONS, signal }), "ERR_ABORTED");
  expect(converted()).toEqual([]);
});

it("the first load tells how far the conversion is, the second has nothing to tell", async () => {
  const { directory } = await checkpoint("beaver-cost");
  const seen: Progress[] = [];
  const onProgress = (progress: Progress) => seen.push(progress);
  await (await ScoreModel.load(directory, { ...OPTIONS, onProgress })).close();
  expect(seen.length).toBeGreaterThan(0);
  expect(seen.at(-1)).toMatchObject({ stage: "convert", bytes: seen[0]?.total });
  const told = seen.length;
  await (await ScoreModel.load(directory, { ...OPTIONS, onProgress })).close();
  expect(seen).toHaveLength(told);
});

it("a signal while the weights are loaded: nobody waits, and they are freed", async () => {
  const file = await gguf("beaver-cost");
  const native = addon();
  const { openModel } = native;
  const controller = new AbortController();
  let release = (): void => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const open = vi.spyOn(native, "openModel").mockImplementation(async (options) => {
    setImmediate(() => controller.abort());
    const opened = await openModel(options);
    await released;
    return opened;
  });
  const close = vi.spyOn(native, "closeModel");
  try {
    await refused(ScoreModel.load(file, { ...OPTIONS, signal: controller.signal }), "ERR_ABORTED");
    expect(close).not.toHaveBeenCalled();
    release();
    await vi.waitFor(() => expect(close).toHaveBeenCalledOnce());
  } finally {
    open.mockRestore();
    close.mockRestore();
  }
});
