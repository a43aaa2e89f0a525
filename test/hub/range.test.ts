/** Reading a part of a file over the network. */
import { randomBytes } from "node:crypto";
import { beforeEach, expect, it } from "vitest";
import { readRange } from "../../lib/hub/range.ts";
import type { HubFile, Snapshot } from "../../lib/hub/types.ts";
import type { Fault } from "./faults.ts";
import { failureOf, hubWorld, QUICK, snapshotOf } from "./support.ts";

const world = hubWorld();
const WEIGHTS = randomBytes(200_000);

let snapshot: Snapshot;
let file: HubFile;
beforeEach(async () => {
  world.hub.commit("owner/model", { "config.json": "{}", "model.safetensors": WEIGHTS });
  snapshot = await snapshotOf("owner/model");
  file = snapshot.files.find(({ weights }) => weights) as HubFile;
});

const read = (offset: number, length: number): Promise<Uint8Array> => readRange(snapshot, file, offset, length, QUICK);

it.each([
  ["the start", 0, 8],
  ["a piece in the middle", 65_530, 20],
  ["the end", 199_999, 1],
  ["all", 0, 200_000],
])("gives %s", async (_, offset, length) => {
  expect(Buffer.from(await read(offset, length)).equals(WEIGHTS.subarray(offset, offset + length))).toBe(true);
});

const FAULTS: (readonly [string, Fault])[] = [
  ["ignored", { ignoreRange: true }],
  ["cut", { cutAfter: 5000 }],
  ["cut at once", { cutAfter: 0 }],
  ["too short", { endAfter: 5000 }],
  ["refused for the moment", { status: 503 }],
];
it.each(FAULTS)("gives the bytes where the first answer is %s", async (_, fault) => {
  world.hub.fault = ({ kind, count }) => (kind === "bytes" && count === 1 ? fault : null);
  expect(Buffer.from(await read(70_000, 10_000)).equals(WEIGHTS.subarray(70_000, 80_000))).toBe(true);
});

it("is refused where the hub says that the file is another one now", async () => {
  world.hub.fault = ({ kind }) => (kind === "resolve" ? { headers: { "x-linked-etag": `"${"0".repeat(64)}"` } } : null);
  expect((await failureOf(() => read(0, 8))).code).toBe("ERR_CHECKSUM");
});
