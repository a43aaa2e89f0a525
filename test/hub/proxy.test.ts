/** Proxies: requests go through the one that the variables name, with its user, and past it where they say so. */
import { randomBytes } from "node:crypto";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { pull } from "../../lib/hub/pull.ts";
import { failureOf, hubWorld, QUICK, snapshotOf } from "./support.ts";

const world = hubWorld();
const USER = `Basic ${Buffer.from("me:secret").toString("base64")}`;

/** What the proxy was asked for, method and address. */
const asked: string[] = [];
let proxy: Server;
let needsUser = false;
beforeEach(async () => {
  asked.length = 0;
  needsUser = false;
  const isRefused = (authorization: string | undefined): boolean => needsUser && authorization !== USER;
  proxy = createServer((incoming, outgoing) => {
    asked.push(`${incoming.method} ${incoming.url}`);
    if (isRefused(incoming.headers["proxy-authorization"])) return outgoing.writeHead(407).end();
    const { "proxy-authorization": _, ...headers } = incoming.headers;
    const onward = request(incoming.url as string, { method: incoming.method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    return incoming.pipe(onward);
  });
  proxy.on("connect", (incoming, socket) => {
    asked.push(`CONNECT ${incoming.url}`);
    if (isRefused(incoming.headers["proxy-authorization"])) return socket.end("HTTP/1.1 407 Who are you?\r\n\r\n");
    const [host, port] = (incoming.url as string).split(":");
    const target = connect(Number(port), host as string, () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      target.pipe(socket).pipe(target);
    });
    for (const end of [socket, target]) end.on("error", () => {});
    return undefined;
  });
  await new Promise<void>((listening) => proxy.listen(0, "127.0.0.1", listening));
  world.hub.commit("owner/model", { "config.json": "{}", "model.safetensors": randomBytes(300_000) });
});
afterEach(async () => {
  proxy.closeAllConnections();
  await new Promise((closed) => proxy.close(closed));
});

const address = (user = ""): string => `http://${user}127.0.0.1:${(proxy.address() as AddressInfo).port}`;
const load = async (): Promise<string> => pull(await snapshotOf("owner/model"), QUICK);

it.each(["HTTP_PROXY", "http_proxy"])("%s is used for every request", async (name) => {
  process.env[name] = address();
  await load();
  expect(asked.length).toBe(world.hub.requests.length);
  expect(asked.every((line) => line.startsWith("GET http://127.0.0.1:"))).toBe(true);
});

const WANTS_USER = { code: "ERR_NETWORK", message: expect.stringContaining("http://user:password@host:port") };

it("its user and password are given to it, and to nobody else", async () => {
  needsUser = true;
  process.env.HTTP_PROXY = address();
  expect(await failureOf(load)).toMatchObject(WANTS_USER);
  asked.length = 0;
  process.env.HTTP_PROXY = address("me:secret@");
  await load();
  expect(asked.length).toBeGreaterThan(3);
});

it.each(["127.0.0.1", "*"])("NO_PROXY %s goes past it", async (hosts) => {
  Object.assign(process.env, { HTTP_PROXY: address(), NO_PROXY: hosts });
  await load();
  expect(asked).toEqual([]);
  process.env.NO_PROXY = "example.com";
  await snapshotOf("owner/model");
  expect(asked.length).toBeGreaterThan(0);
});

it("https goes through a tunnel", async () => {
  Object.assign(process.env, { HTTPS_PROXY: address(), HF_ENDPOINT: world.hub.endpoint.replace("http:", "https:") });
  // The hub of the test speaks no TLS: that it was asked is what is seen.
  await failureOf(load);
  expect(asked[0]).toBe(`CONNECT ${new URL(world.hub.endpoint).host}`);
  needsUser = true;
  expect(await failureOf(load)).toMatchObject(WANTS_USER);
});

it("a proxy that is not there is an error of the connection", async () => {
  process.env.HTTP_PROXY = "http://127.0.0.1:9";
  expect(await failureOf(load)).toMatchObject({ code: "ERR_NETWORK" });
});
