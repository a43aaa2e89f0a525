/** The way to the hub: direct, or through the proxy that the standard variables name. Node's own fetch ignores them. */
import { type Dispatcher, EnvHttpProxyAgent } from "undici";

const VARIABLES = ["http_proxy", "https_proxy", "no_proxy"].flatMap((name) => [name, name.toUpperCase()]);

let known: { readonly variables: string; readonly dispatcher: Dispatcher } | undefined;

/** By `http_proxy`, `https_proxy` and `no_proxy`, or else the same in capitals. Connections are shared by all calls. */
export function proxyDispatcher(): Dispatcher {
  const variables = JSON.stringify(VARIABLES.map((name) => process.env[name]));
  // As other clients do, only https is tunnelled: many proxies refuse it to other ports.
  if (known?.variables !== variables) known = { variables, dispatcher: new EnvHttpProxyAgent({ proxyTunnel: false }) };
  return known.dispatcher;
}
