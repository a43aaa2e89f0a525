/** One request to the hub: redirects, the token, and silence. */
import type { Headers, Response } from "undici";
import { checkAborted } from "../abort.ts";
import { ScoreheadError } from "../errors.ts";
import { version } from "../runtime/addon.ts";
import { named, printable, statusError } from "./answers.ts";
import { accessToken, endpoint, stallTimeout } from "./environment.ts";
import { fetchThroughProxy } from "./proxy.ts";
import { PassingFailure } from "./retry.ts";
import type { Hub, HubOptions, Subject } from "./types.ts";

export interface Answer {
  readonly response: Response;
  /** The body, chunk by chunk. @throws PassingFailure where it breaks off or falls silent */
  readonly chunks: () => AsyncGenerator<Uint8Array>;
}

const MOST_REDIRECTS = 10;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** The hub of the environment. @throws ERR_ARGUMENT, ERR_HUB_ACCESS where the environment is wrong */
export async function openHub({ signal, onWarning, retryDelay = 500 }: HubOptions): Promise<Hub> {
  return {
    endpoint: endpoint(),
    token: await accessToken(),
    stallTimeout: stallTimeout(),
    firstDelay: retryDelay,
    tries: 5,
    signal,
    onWarning,
  };
}

/**
 * GETs `address`, follows redirects, and gives the token to the hub's origin alone.
 * @param headers of the request, `range` for example
 * @param inspect sees the headers of each of the hub's own answers, redirects included, and may refuse
 * @returns an answer of status 2xx, or of 416 where a range was asked for
 * @throws PassingFailure (no connection, silence, busy), ERR_HUB_ACCESS, ERR_NOT_FOUND, ERR_HUB, ERR_NETWORK
 *   (a certificate that is not trusted), ERR_ABORTED
 */
export async function get(
  hub: Hub,
  address: string,
  headers: Record<string, string>,
  subject: Subject,
  inspect: (headers: Headers) => void = () => {},
): Promise<Answer> {
  const silence = new Silence(hub.stallTimeout);
  const signal = hub.signal ? AbortSignal.any([hub.signal, silence.signal]) : silence.signal;
  const hubOrigin = new URL(hub.endpoint).origin;
  let url = new URL(address);
  let response: Response | undefined;
  try {
    for (let hops = 0; hops <= MOST_REDIRECTS; hops++) {
      silence.listen();
      const ours = url.origin === hubOrigin;
      const authorization = ours && hub.token ? { authorization: `Bearer ${hub.token}` } : {};
      const fixed = { "user-agent": `scorehead/${version}`, "accept-encoding": "identity", ...authorization };
      response = await fetchThroughProxy(url, { headers: { ...headers, ...fixed }, redirect: "manual", signal });
      const isRedirect = REDIRECTS.has(response.status);
      if (!isRedirect && !response.ok && !(response.status === 416 && headers.range))
        throw statusError(response, ours, hub, subject);
      if (ours) inspect(response.headers);
      if (!isRedirect) return answerOf(response, hub, silence);
      await response.body?.cancel();
      url = redirected(url, response.headers.get("location"), hub);
    }
    throw new ScoreheadError(
      "ERR_HUB",
      `${hub.endpoint} redirects more than ${MOST_REDIRECTS} times for ${named(subject)}. Try again later, or check HF_ENDPOINT.`,
    );
  } catch (error) {
    // A stream that has failed cannot be cancelled, and need not be.
    await response?.body?.cancel().catch(() => {});
    throw connectionError(error, hub, silence, url);
  } finally {
    silence.end();
  }
}

function answerOf(response: Response, hub: Hub, silence: Silence): Answer {
  return { response, chunks: () => read(response, hub, silence) };
}

async function* read(response: Response, hub: Hub, silence: Silence): AsyncGenerator<Uint8Array> {
  try {
    silence.listen();
    for await (const chunk of response.body ?? []) {
      // The time that the reader takes is not the sender's.
      silence.end();
      yield chunk as Uint8Array;
      silence.listen();
    }
  } catch (error) {
    throw connectionError(error, hub, silence, new URL(response.url));
  } finally {
    silence.end();
  }
}

/** Aborts its signal where nothing is heard for a time. */
class Silence {
  readonly #controller = new AbortController();
  readonly #limit: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  listen(): void {
    this.end();
    this.#timer = setTimeout(() => this.#controller.abort(), this.#limit);
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

function redirected(from: URL, location: string | null, hub: Hub): URL {
  const to = location !== null && URL.canParse(location, from.href) ? new URL(location, from) : null;
  const safe = to?.protocol === "https:" || (to?.protocol === "http:" && from.protocol === "http:");
  if (to && safe) return to;
  throw new ScoreheadError(
    "ERR_HUB",
    `${hub.endpoint} redirects to ${JSON.stringify(printable(location ?? "nowhere"))}, which is not followed.`,
  );
}

/** Node's names for certificates that are not trusted. */
const CERTIFICATE = /CERT|UNABLE_TO_VERIFY|ERR_TLS/;
/** undici's words for a proxy that wants to know who asks; it has no name for it. */
const UNKNOWN_TO_PROXY = /\(407\)/;

/** fetch wraps what went wrong, a cancelled request once more. */
function rootOf(error: NodeJS.ErrnoException): NodeJS.ErrnoException {
  return error.cause instanceof Error ? rootOf(error.cause) : error;
}

function connectionError(error: unknown, hub: Hub, silence: Silence, url: URL): unknown {
  checkAborted(hub.signal);
  if (error instanceof ScoreheadError || error instanceof PassingFailure) return error;
  if (silence.signal.aborted)
    return new PassingFailure(`${url.host} has sent nothing for ${hub.stallTimeout / 1000} s`, null, error);
  const { code = "", message } = rootOf(error as NodeJS.ErrnoException);
  if (CERTIFICATE.test(code))
    return new ScoreheadError(
      "ERR_NETWORK",
      `${url.host} cannot be trusted: ${message}. Behind a proxy that has its own certificate, name it in the variable NODE_EXTRA_CA_CERTS.`,
      error,
    );
  if (UNKNOWN_TO_PROXY.test(message))
    return new ScoreheadError(
      "ERR_NETWORK",
      `The proxy on the way to ${url.host} wants a user: name it in HTTP_PROXY or HTTPS_PROXY, as ` +
        "http://user:password@host:port.",
      error,
    );
  // What a proxy answers is in the words alone.
  const reason = code === "UND_ERR_ABORTED" ? message : code || message;
  return new PassingFailure(`The connection to ${url.host} failed (${reason})`, null, error);
}
