/** Who may have what, what does not exist, and where the token goes. */
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { beforeEach, describe, expect, it } from "vitest";
import type { ErrorCode } from "../../lib/errors.ts";
import { pull } from "../../lib/hub/pull.ts";
import { TOKEN } from "./server.ts";
import { failureOf, hubWorld, QUICK, snapshotOf } from "./support.ts";

const world = hubWorld();

beforeEach(() => {
  world.hub.commit("owner/model", { "config.json": "{}", "model.safetensors": randomBytes(1000) });
  world.hub.repository("owner/model").access = "public";
});

async function failure(name: string): Promise<[code: ErrorCode, message: string]> {
  const { code, message } = await failureOf(async () => pull(await snapshotOf(name), QUICK));
  return [code, message];
}

describe("a repository", () => {
  it("that is gated says where to accept, and how to give a token", async () => {
    world.hub.repository("owner/model").access = "gated";
    const [code, message] = await failure("owner/model");
    expect(code).toBe("ERR_HUB_ACCESS");
    expect(message).toContain(`Accept its terms at ${world.hub.endpoint}/owner/model`);
    expect(message).toContain("HF_TOKEN");
    expect(message).toContain(`${world.hub.endpoint}/settings/tokens`);
  });

  it("that is gated says so to a user who is not let in", async () => {
    world.hub.repository("owner/model").access = "gated";
    process.env.HF_TOKEN = "hf_stranger";
    const [code, message] = await failure("owner/model");
    expect(code).toBe("ERR_HUB_ACCESS");
    expect(message).toContain("your token's user is not let in");
    expect(message).toContain("not in the authorized list");
    expect(message).not.toContain("hf_stranger");
  });

  it.each(["gated", "private"] as const)("that is %s is given to its user", async (access) => {
    world.hub.repository("owner/model").access = access;
    process.env.HF_TOKEN = TOKEN;
    await pull(await snapshotOf("owner/model"), QUICK);
  });

  it("that is private may also not exist", async () => {
    world.hub.repository("owner/model").access = "private";
    for (const name of ["owner/model", "owner/none"]) {
      const [code, message] = await failure(name);
      expect(code).toBe("ERR_HUB_ACCESS");
      expect(message).toMatch(/does not exist, is private or is gated.*HF_TOKEN/);
    }
  });

  it("that does not exist is not found, for a known user", async () => {
    process.env.HF_TOKEN = TOKEN;
    expect(await failure("owner/none")).toEqual([
      "ERR_NOT_FOUND",
      expect.stringContaining("no model repository owner/none"),
    ]);
  });

  it.each([
    [401, /does not exist, is private or is gated/],
    [403, /does not exist, is private or is gated/],
    [404, /There is no model repository/],
  ])("answers %i without more words", async (status, words) => {
    world.hub.fault = ({ kind }) => (kind === "info" ? { status } : null);
    const [code, message] = await failure("owner/model");
    expect(code).toBe(status === 404 ? "ERR_NOT_FOUND" : "ERR_HUB_ACCESS");
    expect(message).toMatch(words);
  });

  it("answers with a status that is not understood", async () => {
    const headers = { "x-error-message": "no \u009b31mcoffee" };
    world.hub.fault = ({ kind }) => (kind === "info" ? { status: 418, headers } : null);
    const [code, message] = await failure("owner/model");
    expect(code).toBe("ERR_HUB");
    expect(message).toMatch(/answers 418 .*coffee/);
    expect(message).not.toMatch(/\p{C}/u);
  });
});

describe("what is missing in a repository", () => {
  it("is a revision", async () => {
    for (const revision of ["v9", "0".repeat(40)])
      expect(await failure(`owner/model@${revision}`)).toEqual([
        "ERR_NOT_FOUND",
        expect.stringContaining(`has no revision ${revision}`),
      ]);
  });

  it("is a file that was listed", async () => {
    const headers = { "x-error-code": "EntryNotFound" };
    world.hub.fault = ({ kind, path }) =>
      kind === "resolve" && path === "model.safetensors" ? { status: 404, headers } : null;
    expect(await failure("owner/model")).toEqual([
      "ERR_NOT_FOUND",
      expect.stringContaining("no file model.safetensors"),
    ]);
  });
});

describe("the token", () => {
  beforeEach(() => {
    process.env.HF_TOKEN = TOKEN;
  });

  it("goes to the hub with every request, redirects on it included, and nowhere else", async () => {
    await pull(await snapshotOf("owner/model"), QUICK);
    for (const { kind, authorization } of world.hub.requests)
      expect([kind, authorization]).toEqual([kind, kind === "bytes" ? null : `Bearer ${TOKEN}`]);
    expect(world.hub.requests.map(({ kind }) => kind).sort()).toEqual([
      "bytes",
      "info",
      "resolve",
      "resolve",
      "small",
      "tree",
    ]);
  });

  it("goes to no origin that a redirect or a listing's next page names", async () => {
    const seen: (string | undefined)[] = [];
    const other = createServer(({ headers }, response) => {
      seen.push(headers.authorization);
      response.end("[]");
    });
    await new Promise<void>((listening) => other.listen(0, "127.0.0.1", listening));
    const location = `http://127.0.0.1:${(other.address() as AddressInfo).port}/x`;
    world.hub.fault = ({ kind }) => (kind === "tree" ? { headers: { link: `<${location}>; rel="next"` } } : null);
    await snapshotOf("owner/model");
    world.hub.fault = ({ kind }) => (kind === "info" ? { status: 302, headers: { location } } : null);
    await failure("owner/model");
    other.close();
    expect(seen).toEqual([undefined, undefined]);
  });

  it("that the hub does not know is named as the reason, and not shown", async () => {
    process.env.HF_TOKEN = "api_wrong";
    const [code, message] = await failure("owner/model");
    expect(code).toBe("ERR_HUB_ACCESS");
    expect(message).toMatch(/does not know your token/);
    expect(message).not.toContain("api_wrong");
  });

  it("that cannot be one is refused before it is sent, and not shown", async () => {
    process.env.HF_TOKEN = "hf_secret and more";
    const [code, message] = await failure("owner/model");
    expect(code).toBe("ERR_HUB_ACCESS");
    expect(message).toMatch(/HF_TOKEN/);
    expect(message).not.toContain("secret");
    expect(world.hub.requests).toEqual([]);
  });
});
