/** The way to the hub: direct, or through the proxy that the standard variables name. Node's own fetch ignores them. */
import type { Dispatcher, RequestInit, Response } from "undici";

const VARIABLES = ["http_proxy", "https_proxy", "no_proxy"].flatMap((name) => [name, name.toUpperCase()]);

let known: { readonly variables: string; readonly dispatcher: Dispatcher } | undefined;

/**
 * fetch by `http_proxy`, `https_proxy` and `no_proxy`, or else the same in capitals. Connections are shared by all calls.
 * @throws as fetch
 */
export async function fetchThroughProxy(url: URL, init: RequestInit): Promise<Response> {
  // Loading it takes longer than all else here, and who scores a file asks the hub for nothing.
  const { EnvHttpProxyAgent, fetch } = await import("undici");
  const variables = JSON.stringify(VARIABLES.map((name) => process.env[name]));
  // As other clients do, only https is tunnelled: many proxies refuse it to other ports.
  if (known?.variables !== variables) known = { variables, dispatcher: new EnvHttpProxyAgent({ proxyTunnel: false }) };
  return fetch(url, { ...init, dispatcher: known.dispatcher });
}
