/**
 * A hub on 127.0.0.1 that answers as huggingface.co does: model info, listings in pages, files by redirects (small ones
 * on the same origin, large ones on a second), ranges, etags, tokens, error codes; and on demand not as it does.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Fault, spoiled } from "./faults.ts";
import { bytesContent, type Content, directoryContents, type Repository } from "./repositories.ts";

/**
 * What a request is for: model info, a listing, single files' entries of it, a file's place, its bytes from the second
 * origin or from the first.
 */
export type RequestKind = "info" | "tree" | "paths" | "resolve" | "bytes" | "small";

export interface SeenRequest {
  readonly kind: RequestKind;
  /** The file's path inside its repository; empty for info and listings. */
  readonly path: string;
  /** Which request of this kind for this path it is, from 1. */
  readonly count: number;
  readonly range: string | null;
  readonly authorization: string | null;
}

type Files = Readonly<Record<string, Buffer | string>>;

/** A token of a user who may see everything. */
export const TOKEN = "hf_test";

export class TestHub {
  readonly requests: SeenRequest[] = [];
  /** Asked for every request; null: all is well. */
  fault: (request: SeenRequest) => Fault | null = () => null;
  /** Entries of a listing's page. */
  pageSize = 1000;
  readonly #repositories = new Map<string, Repository>();
  readonly #hub = createServer((request, response) => this.#answer(request, response, HUB_ROUTES));
  readonly #bytes = createServer((request, response) => this.#answer(request, response, BYTES_ROUTES));

  static async start(): Promise<TestHub> {
    const hub = new TestHub();
    for (const server of [hub.#hub, hub.#bytes])
      await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    return hub;
  }

  /** What HF_ENDPOINT has to be. */
  get endpoint(): string {
    return address(this.#hub);
  }

  async close(): Promise<void> {
    for (const server of [this.#hub, this.#bytes]) {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    }
  }

  /** Adds a commit of these files to a repository's branch. @returns the commit */
  commit(name: string, files: Files, branch = "main"): string {
    const contents = Object.entries(files).map(
      ([path, bytes]) => [path, bytesContent(path, Buffer.from(bytes))] as const,
    );
    return this.#commit(name, new Map(contents), branch);
  }

  /** Adds a commit of a directory's files. @returns the commit */
  async commitDirectory(name: string, directory: string, branch = "main"): Promise<string> {
    return this.#commit(name, await directoryContents(directory), branch);
  }

  repository(name: string): Repository {
    const found = this.#repositories.get(name);
    if (!found) throw new Error(`The test hub has no ${name}.`);
    return found;
  }

  /** The requests of a kind, for a path where one is given. */
  seen(kind: RequestKind, path?: string): SeenRequest[] {
    return this.requests.filter((request) => request.kind === kind && (path === undefined || request.path === path));
  }

  #commit(name: string, files: ReadonlyMap<string, Content>, branch: string): string {
    const repository: Repository = this.#repositories.get(name) ?? {
      name,
      refs: new Map(),
      commits: new Map(),
      access: "public",
    };
    this.#repositories.set(name, repository);
    const commit = createHash("sha1").update(`${name} ${repository.commits.size}`).digest("hex");
    repository.commits.set(commit, files);
    repository.refs.set(branch, commit);
    return commit;
  }

  #answer(request: IncomingMessage, response: ServerResponse, routes: typeof HUB_ROUTES): void {
    const url = new URL(request.url ?? "/", "http://x");
    const route = routeOf(url, routes);
    const fault = route && this.fault(this.#note(request, route));
    const { status = 200, text } = fault ?? {};
    const reply: Reply =
      fault?.status === undefined && text === undefined
        ? this.#reply(request, url, route, fault)
        : { status, body: text ?? "" };
    response.writeHead(reply.status, { ...reply.headers, ...fault?.headers });
    response.flushHeaders();
    // A client that goes away, and a fault that cuts, end both streams; nobody is left to be told.
    const body = typeof reply.body === "string" ? Readable.from([Buffer.from(reply.body)]) : reply.body;
    pipeline(fault ? spoiled(body, fault) : body, response).catch(() => {});
  }

  #note({ headers }: IncomingMessage, { kind, path }: Route): SeenRequest {
    const count = this.seen(kind, path).length + 1;
    const seen = { kind, path, count, range: headers.range ?? null, authorization: headers.authorization ?? null };
    this.requests.push(seen);
    return seen;
  }

  #reply(request: IncomingMessage, url: URL, route: Route | null, fault: Fault | null): Reply {
    if (!route) return refusal(404, null, "Not Found");
    const { kind, path } = route;
    const { authorization = null } = request.headers;
    const repository = this.#repositories.get(route.repository);
    const refused = kind === "bytes" ? null : accessRefusal(repository, kind, authorization);
    if (!repository || refused) return refused ?? REPO_NOT_FOUND;
    const commit = repository.refs.get(route.revision) ?? route.revision;
    const files = repository.commits.get(commit);
    if (!files) return refusal(404, "RevisionNotFound", `Invalid rev id: ${route.revision}`);
    if (kind === "info") return json(modelInfo(repository, commit, files));
    if (kind === "tree") return this.#tree(url, files);
    if (kind === "paths") return paths(request, files);
    const file = files.get(path);
    if (!file) return refusal(404, "EntryNotFound", "Entry not found");
    if (kind === "resolve") return this.#redirect({ ...route, revision: commit }, file);
    // S3 takes no second way of authorising.
    if (kind === "bytes" && authorization) return refusal(400, null, "Only one auth mechanism allowed");
    const sent = bytes(request, fault?.body ? bytesContent(path, fault.body) : file, fault);
    const own = { etag: `"${file.oid}"`, "x-repo-commit": commit };
    return kind === "small" ? { ...sent, headers: { ...sent.headers, ...own } } : sent;
  }

  #tree(url: URL, files: ReadonlyMap<string, Content>): Reply {
    const from = Number(url.searchParams.get("cursor") ?? 0);
    const all = [...files].map(([path, file]) => treeEntry(path, file));
    const next = new URL(url.pathname + url.search, this.endpoint);
    next.searchParams.set("cursor", String(from + this.pageSize));
    const link = from + this.pageSize < all.length ? { link: `<${next}>; rel="next"` } : {};
    return json(all.slice(from, from + this.pageSize), link);
  }

  #redirect({ repository, revision, path }: Route, file: Content): Reply {
    const place = `${repository}/${revision}/${path.split("/").map(encodeURIComponent).join("/")}`;
    const common = { "x-repo-commit": revision, "accept-ranges": "bytes" };
    if (!file.lfs) {
      const location = `/api/resolve-cache/models/${place}`;
      return { status: 307, headers: { ...common, etag: `"${file.oid}"`, location }, body: "" };
    }
    const etag = `"${file.sha256}"`;
    const linked = { etag, "x-linked-etag": etag, "x-linked-size": String(file.size) };
    const location = `${address(this.#bytes)}/${place}?signature=x`;
    return { status: 302, headers: { ...common, ...linked, location }, body: "" };
  }
}

interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body: string | Readable;
}

interface Route {
  readonly kind: RequestKind;
  readonly repository: string;
  readonly revision: string;
  readonly path: string;
}

const NAME = "([^/]+/[^/]+)";
const HUB_ROUTES: readonly (readonly [RequestKind, RegExp])[] = [
  ["info", new RegExp(`^/api/models/${NAME}(?:/revision/([^/]+))?$`)],
  ["tree", new RegExp(`^/api/models/${NAME}/tree/([^/]+)$`)],
  ["paths", new RegExp(`^/api/models/${NAME}/paths-info/([^/]+)$`)],
  ["small", new RegExp(`^/api/resolve-cache/models/${NAME}/([^/]+)/(.+)$`)],
  ["resolve", new RegExp(`^/${NAME}/resolve/([^/]+)/(.+)$`)],
];
const BYTES_ROUTES: typeof HUB_ROUTES = [["bytes", new RegExp(`^/${NAME}/([^/]+)/(.+)$`)]];

function routeOf({ pathname }: URL, routes: typeof HUB_ROUTES): Route | null {
  for (const [kind, pattern] of routes) {
    const [, repository, revision = "main", path = ""] = pattern.exec(pathname) ?? [];
    if (repository) return { kind, repository, revision: decodeURIComponent(revision), path: decodeURIComponent(path) };
  }
  return null;
}

const REPO_NOT_FOUND = refusal(404, "RepoNotFound", "Repository not found");

/** Whether the asker may not have this, and in which words; a stranger is not told what exists. */
function accessRefusal(
  repository: Repository | undefined,
  kind: RequestKind,
  authorization: string | null,
): Reply | null {
  if (authorization && !authorization.startsWith("Bearer hf_"))
    return refusal(401, null, "Invalid credentials in Authorization header");
  const isStranger = authorization === null;
  const isUser = authorization === `Bearer ${TOKEN}`;
  if (!repository || (repository.access === "private" && !isUser))
    return isStranger ? refusal(401, "RepoNotFound", "Invalid username or password.") : REPO_NOT_FOUND;
  if (repository.access !== "gated" || isUser || kind === "info" || kind === "tree") return null;
  const restricted = `Access to model ${repository.name} is restricted`;
  return isStranger
    ? refusal(401, "GatedRepo", `${restricted}. You must have access to it and be authenticated to access it.`)
    : refusal(403, "GatedRepo", `${restricted} and you are not in the authorized list.`);
}

function refusal(status: number, code: string | null, message: string): Reply {
  return json({ error: message }, { ...(code && { "x-error-code": code }), "x-error-message": message }, status);
}

function json(value: unknown, headers: Readonly<Record<string, string>> = {}, status = 200): Reply {
  return {
    status,
    headers: { "content-type": "application/json; charset=utf-8", ...headers },
    body: JSON.stringify(value),
  };
}

function modelInfo(repository: Repository, commit: string, files: ReadonlyMap<string, Content>): unknown {
  const { name, access } = repository;
  return {
    _id: createHash("sha1").update(name).digest("hex").slice(0, 24),
    id: name,
    sha: commit,
    private: access === "private",
    gated: access === "gated" ? "manual" : false,
    lastModified: "2024-01-01T00:00:00.000Z",
    downloads: 0,
    likes: 0,
    siblings: [...files.keys()].map((rfilename) => ({ rfilename })),
  };
}

function treeEntry(path: string, { size, oid, lfs, sha256, pointerSize }: Content): unknown {
  return { type: "file", oid, size, path, ...(lfs && { lfs: { oid: sha256, size, pointerSize } }) };
}

/** The entries of the files that the request's body names. */
function paths(request: IncomingMessage, files: ReadonlyMap<string, Content>): Reply {
  const body = async function* (): AsyncGenerator<Buffer> {
    const { paths } = JSON.parse((await request.toArray()).join("")) as { paths: readonly string[] };
    const entries = [...files].filter(([path]) => paths.includes(path));
    yield Buffer.from(JSON.stringify(entries.map(([path, file]) => treeEntry(path, file))));
  };
  return { ...json(null), body: Readable.from(body()) };
}

function bytes({ method, headers }: IncomingMessage, file: Content, fault: Fault | null): Reply {
  const asked = fault?.ignoreRange ? null : /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "");
  const start = Number(asked?.[1] ?? 0);
  const end = asked?.[2] ? Math.min(Number(asked[2]) + 1, file.size) : file.size;
  if (asked && start >= file.size)
    return { status: 416, headers: { "content-range": `bytes */${file.size}` }, body: "" };
  return {
    status: asked ? 206 : 200,
    headers: {
      etag: `"${file.sha256}"`,
      "accept-ranges": "bytes",
      // A body that ends early says nothing of its length, else the client's parser would notice.
      ...(fault?.endAfter === undefined && { "content-length": String(end - start) }),
      ...(asked && { "content-range": `bytes ${start}-${end - 1}/${file.size}` }),
    },
    body: method === "HEAD" ? "" : file.read(start, end),
  };
}

function address(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
