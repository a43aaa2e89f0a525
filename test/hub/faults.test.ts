/** What goes wrong on the way: each fault ends in the right file or in an error that says what happened. */
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import type { ErrorCode } from "../../lib/errors.ts";
import { pull } from "../../lib/hub/pull.ts";
import type { HubOptions } from "../../lib/hub/types.ts";
import type { Fault } from "./faults.ts";
import { type RequestKind, type SeenRequest, TestHub } from "./server.ts";
import { failureOf, hubWorld, QUICK, snapshotOf } from "./support.ts";

const world = hubWorld();

const WEIGHTS = randomBytes(150_000);
const SETTINGS = '{"architectures": ["LlamaForScore"]}';
const FILE = "model.safetensors";

beforeEach(() => {
  world.hub.commit("owner/model", { "config.json": SETTINGS, [FILE]: WEIGHTS });
});

const blobs = (): string[] => {
  const folder = join(world.cache, "models--owner--model", "blobs");
  return existsSync(folder) ? readdirSync(folder).sort() : [];
};

/** Pulls, and checks that what comes out is right. @returns the warnings */
async function rightPull(options: HubOptions = {}): Promise<string[]> {
  const warnings: string[] = [];
  const all = { ...QUICK, onWarning: (message: string) => warnings.push(message), ...options };
  const directory = await pull(await snapshotOf("owner/model", all), all);
  expect(readFileSync(join(directory, FILE)).equals(WEIGHTS)).toBe(true);
  expect(readFileSync(join(directory, "config.json"), "utf8")).toBe(SETTINGS);
  expect(blobs().filter((name) => name.endsWith("incomplete"))).toEqual([]);
  return warnings;
}

/** Pulls, and expects this error and no weights under their final name. @returns the message */
async function failedPull(code: ErrorCode, options: HubOptions = {}): Promise<string> {
  const all = { ...QUICK, ...options };
  const error = await failureOf(async () => pull(await snapshotOf("owner/model", all), all));
  expect(error.code).toBe(code);
  expect(blobs().filter((name) => name.length === 64)).toEqual([]);
  return error.message;
}

/** The fault, for the first `times` requests of a kind for the weights, or for no file. */
function first(times: number, kind: RequestKind, fault: Fault): void {
  const isMeant = (path: string): boolean =>
    path === FILE || path === "" || (kind === "small" && path === "config.json");
  world.hub.fault = (seen) => (seen.kind === kind && isMeant(seen.path) && seen.count <= times ? fault : null);
}

const ALWAYS = Number.POSITIVE_INFINITY;
const ranges = (): (string | null)[] => world.hub.seen("bytes", FILE).map(({ range }: SeenRequest) => range);

describe("a connection that is cut", () => {
  // The edges of the file, of the client's 1 MiB and the sender's 64 KiB pieces, and places between them.
  const PLACES = [0, 1, 2, 65_535, 65_536, 65_537, 77_777, 131_072, 149_998, 149_999];
  it.each(PLACES)("at byte %i goes on there", async (at) => {
    first(1, "bytes", { cutAfter: at });
    await rightPull();
    const begin = ranges()[1];
    // The last bytes before the cut may be lost on the way.
    const from = Number(/^bytes=(\d+)-149999$/.exec(begin ?? "bytes=0-149999")?.[1]);
    expect(from).toBeLessThanOrEqual(at);
    expect(ranges()).toHaveLength(2);
  });

  it("at every tenth of the file gives the file", async () => {
    world.hub.fault = ({ kind, count }) => (kind === "bytes" && count < 6 ? { cutAfter: 15_000 } : null);
    const warnings = await rightPull();
    expect(ranges()).toHaveLength(6);
    expect(warnings).toHaveLength(5);
    expect(warnings[0]).toMatch(/model\.safetensors of owner\/model again in 1 s/);
  });

  it("in the middle of a listing, of model info and of a small file is asked again", async () => {
    world.hub.fault = ({ kind, count }) =>
      ["info", "tree", "small"].includes(kind) && count === 1 ? { cutAfter: 20 } : null;
    await rightPull();
  });

  it("again and again is an error, and what has arrived stays for the next call", async () => {
    world.hub.fault = ({ kind, count }) => (kind === "bytes" ? { cutAfter: count === 1 ? 70_000 : 0 } : null);
    expect(await failedPull("ERR_NETWORK")).toMatch(/model\.safetensors of owner\/model.*last of 7 tries.*is kept/);
    world.hub.fault = () => null;
    await rightPull();
    expect(ranges().at(-1)).toMatch(/^bytes=[1-9]\d+-149999$/);
  });
});

it("a connection that is cut at any byte of a small file gives the file", async () => {
  const bytes = randomBytes(40);
  world.hub.commit("owner/model", { "config.json": SETTINGS, [FILE]: bytes });
  const snapshot = await snapshotOf("owner/model");
  for (let cutAfter = 0; cutAfter <= bytes.length; cutAfter++) {
    let cuts = 0;
    world.hub.fault = ({ kind }) => (kind === "bytes" && cuts++ === 0 ? { cutAfter } : null);
    await pull(snapshot, QUICK);
    expect(readFileSync(join(snapshot.directory, FILE)).equals(bytes), `after ${cutAfter}`).toBe(true);
    rmSync(world.cache, { recursive: true });
  }
});

describe("a server that answers otherwise than asked", () => {
  it("ignores the range: begins anew and counts it right", async () => {
    world.hub.fault = ({ kind, count }) =>
      kind !== "bytes" ? null : count === 1 ? { cutAfter: 70_000 } : { ignoreRange: true };
    const bytes: number[] = [];
    const snapshot = await snapshotOf("owner/model");
    await pull(snapshot, { ...QUICK, onProgress: (progress) => bytes.push(progress.bytes) });
    expect(readFileSync(join(snapshot.directory, FILE)).equals(WEIGHTS)).toBe(true);
    expect(bytes.at(-1)).toBe(WEIGHTS.length + SETTINGS.length);
  });

  it("gives another range", async () => {
    world.hub.fault = ({ kind, count }) =>
      kind !== "bytes"
        ? null
        : count === 1
          ? { cutAfter: 70_000 }
          : { headers: { "content-range": "bytes 5-9/150000" } };
    expect(await failedPull("ERR_NETWORK")).toMatch(/does not give the bytes that were asked for/);
  });

  it("ends the body early as if that were all", async () => {
    first(2, "bytes", { endAfter: 70_000 });
    expect((await rightPull())[0]).toMatch(/broke off after 70000 of 150000 bytes/);
  });

  it("sends more than it should", async () => {
    first(1, "bytes", { body: Buffer.concat([WEIGHTS, WEIGHTS]) });
    await rightPull();
  });

  it("always sends more than it should", async () => {
    first(ALWAYS, "bytes", { body: Buffer.concat([WEIGHTS, WEIGHTS]) });
    expect(await failedPull("ERR_CHECKSUM")).toMatch(/more than its 150000 bytes/);
  });

  it("sends JSON that is none, or other JSON", async () => {
    const broken = (kind: RequestKind, text: string): void => {
      world.hub.fault = (seen) => (seen.kind === kind ? { text } : null);
    };
    broken("info", "<html>Sign in to this network</html>");
    expect(await failedPull("ERR_HUB")).toMatch(/not the hub's/);
    broken("info", '{"sha": "../../etc"}');
    expect(await failedPull("ERR_HUB")).toMatch(/names no commit/);
    broken("info", "null");
    await failedPull("ERR_HUB");
    for (const text of [
      '{"error": 1}',
      "7",
      '[{"type": "file"}]',
      '[{"type":"file","path":"config.json","size":-1,"oid":"x"}]',
    ]) {
      broken("tree", text);
      await failedPull("ERR_HUB");
    }
  });

  it("never ends its listing", async () => {
    world.hub.fault = ({ kind }) =>
      kind === "tree"
        ? { text: "[]", headers: { link: `<${world.hub.endpoint}/api/models/owner/model/tree/main>; rel="next"` } }
        : null;
    expect(await failedPull("ERR_HUB")).toMatch(/does not end/);
  });
});

describe("bytes that are not the listed ones", () => {
  it.each([0, 70_000, 149_999])("a bit flipped in byte %i, once: downloads anew", async (flipAt) => {
    first(1, "bytes", { flipAt });
    expect((await rightPull())[0]).toMatch(/is damaged/);
    expect(ranges()).toEqual([null, null]);
  });

  it("a bit flipped always: an error, and nothing stays", async () => {
    first(ALWAYS, "bytes", { flipAt: 70_000 });
    expect(await failedPull("ERR_CHECKSUM")).toMatch(/not the file that the hub lists/);
    expect(blobs().filter((name) => name.includes("incomplete"))).toEqual([]);
    world.hub.fault = () => null;
    await rightPull();
  });

  it("a bit flipped in a small file", async () => {
    first(1, "small", { flipAt: 3 });
    await rightPull();
  });

  it("a bit flipped in a small file always", async () => {
    first(ALWAYS, "small", { flipAt: 3 });
    expect(await failedPull("ERR_CHECKSUM")).toMatch(/config\.json/);
  });

  it("other bytes after a cut, under another etag: downloads anew", async () => {
    const other = randomBytes(150_000);
    world.hub.fault = ({ kind, count }) => {
      if (kind !== "bytes" || count > 2) return null;
      return count === 1 ? { cutAfter: 70_000 } : { body: other, headers: { etag: '"other"' } };
    };
    expect((await rightPull()).some((warning) => /is damaged/.test(warning))).toBe(true);
  });

  it("a file that is shorter after a cut", async () => {
    world.hub.fault = ({ kind, count }) =>
      kind !== "bytes" ? null : count === 1 ? { cutAfter: 140_000 } : { body: WEIGHTS.subarray(0, 1000) };
    expect(await failedPull("ERR_CHECKSUM")).toMatch(/ends before byte/);
  });

  it.each([
    ["hash", { "x-linked-etag": `"${"0".repeat(64)}"` }, /its hash is 0{64} now/],
    ["commit", { "x-repo-commit": "1".repeat(40) }, /it is of commit 1{40} now/],
  ])("another %s than listed ends it before the bytes", async (_, headers, message) => {
    first(ALWAYS, "resolve", { headers });
    expect(await failedPull("ERR_CHECKSUM")).toMatch(message);
    expect(ranges()).toEqual([]);
  });
});

describe("a hub that is busy or broken", () => {
  const KINDS: RequestKind[] = ["info", "tree", "resolve", "small", "bytes"];
  it.each(KINDS)("answers 500 to %s twice, then all is well", async (kind) => {
    first(2, kind, { status: 500 });
    expect(await rightPull()).toHaveLength(2);
  });

  it.each([500, 502, 503, 429])("answers %i always", async (status) => {
    first(ALWAYS, "resolve", { status });
    expect(await failedPull("ERR_NETWORK")).toMatch(new RegExp(`answers ${status} \\(the last of 5 tries\\)`));
  });

  it("waits as long as Retry-After asks for", async () => {
    first(1, "resolve", { status: 429, headers: { "retry-after": "120" } });
    const caller = new AbortController();
    let warning = "";
    const onWarning = (message: string): void => {
      warning = message;
      caller.abort();
    };
    await failedPull("ERR_ABORTED", { signal: caller.signal, onWarning });
    expect(warning).toMatch(/answers 429; trying to download model\.safetensors of owner\/model again in 120 s/);
    first(1, "info", { status: 503, headers: { "retry-after": new Date().toUTCString() } });
    await rightPull();
  });

  it("does not wait for an hour", async () => {
    first(ALWAYS, "info", { status: 429, headers: { "retry-after": "3600" } });
    expect(await failedPull("ERR_NETWORK")).toMatch(/try again in 60 min/);
    first(ALWAYS, "info", { status: 429, headers: { ratelimit: '"api";r=0;t=3000' } });
    expect(await failedPull("ERR_NETWORK")).toMatch(/try again in 50 min/);
  });

  it("gives a fresh address where the signed one has expired", async () => {
    first(1, "bytes", { status: 403 });
    await rightPull();
    expect(world.hub.seen("resolve", FILE)).toHaveLength(2);
  });

  it("redirects in a circle", async () => {
    const location = `${world.hub.endpoint}/owner/model/resolve/main/${FILE}`;
    first(ALWAYS, "resolve", { status: 302, headers: { location } });
    expect(await failedPull("ERR_HUB")).toMatch(/redirects more than 10 times/);
    expect(world.hub.seen("resolve", FILE)).toHaveLength(11);
  });

  it.each(["file:///etc/passwd", "ftp://127.0.0.1/x", "http://", undefined])("redirects to %s", async (location) => {
    first(ALWAYS, "resolve", { status: 302, headers: location === undefined ? {} : { location } });
    expect(await failedPull("ERR_HUB")).toMatch(/not followed/);
  });

  it("is not there", async () => {
    const gone = await TestHub.start();
    process.env.HF_ENDPOINT = gone.endpoint;
    await gone.close();
    expect(await failedPull("ERR_NETWORK")).toMatch(/127\.0\.0\.1:\d+ failed \(ECONNREFUSED\)/);
    process.env.HF_ENDPOINT = "huggingface.co";
    expect(await failedPull("ERR_ARGUMENT")).toMatch(/HF_ENDPOINT/);
  });
});

describe("a server that is slow", () => {
  it("says nothing after the headers: goes on over a new connection", async () => {
    process.env.HF_HUB_DOWNLOAD_TIMEOUT = "0.2";
    first(1, "bytes", { hangAfter: 0 });
    expect((await rightPull())[0]).toMatch(/has sent nothing for 0.2 s/);
  });

  it("says nothing ever", async () => {
    process.env.HF_HUB_DOWNLOAD_TIMEOUT = "0.05";
    first(ALWAYS, "bytes", { hangAfter: 0 });
    expect(await failedPull("ERR_NETWORK")).toMatch(/has sent nothing/);
  });

  it("drips: is listened to as long as the caller wants, and what has arrived stays", async () => {
    process.env.HF_HUB_DOWNLOAD_TIMEOUT = "0.5";
    first(ALWAYS, "bytes", { drip: 20 });
    const caller = new AbortController();
    const onProgress = ({ bytes }: { bytes: number }): void => {
      if (bytes >= SETTINGS.length + 40) caller.abort();
    };
    const snapshot = await snapshotOf("owner/model");
    const error = await failureOf(() => pull(snapshot, { ...QUICK, signal: caller.signal, onProgress }));
    expect(error.code).toBe("ERR_ABORTED");
    world.hub.fault = () => null;
    await rightPull();
    expect(ranges().at(-1)).toMatch(/^bytes=\d\d-149999$/);
  });

  it.each<RequestKind>(["info", "tree", "resolve", "small", "bytes"])(
    "hangs at %s: abort ends the call",
    async (kind) => {
      world.hub.fault = (seen) => {
        if (seen.kind !== kind) return null;
        setTimeout(() => caller.abort(), 20);
        return kind === "resolve" ? { status: 503, headers: { "retry-after": "60" } } : { hangAfter: 0 };
      };
      const caller = new AbortController();
      await failedPull("ERR_ABORTED", { signal: caller.signal });
    },
  );
});
