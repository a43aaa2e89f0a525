/** What the standard variables of the hub's tools say: where the hub is, who asks, where files are kept. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { ScoreheadError } from "../errors.ts";

const variable = (name: string): string | undefined => process.env[name]?.trim() || undefined;

/** huggingface_hub's own list. */
const isTrue = (value: string | undefined): boolean => /^(1|on|yes|true)$/i.test(value ?? "");

/** `HF_ENDPOINT`: the hub's address, without a slash at its end. @throws ERR_ARGUMENT where it is none */
export function endpoint(): string {
  const address = (variable("HF_ENDPOINT") ?? "https://huggingface.co").replace(/\/+$/, "");
  if (URL.canParse(address) && /^https?:/.test(address)) return address;
  throw new ScoreheadError(
    "ERR_ARGUMENT",
    `The variable HF_ENDPOINT is ${JSON.stringify(address)}, which is no address. Write it like https://huggingface.co.`,
  );
}

/** `HF_HUB_OFFLINE`, and `TRANSFORMERS_OFFLINE` as in huggingface_hub. */
export function isOffline(): boolean {
  return isTrue(variable("HF_HUB_OFFLINE") ?? variable("TRANSFORMERS_OFFLINE"));
}

/** `HF_HUB_DISABLE_SYMLINKS`: the cache's snapshots hold files instead of links to blobs. */
export function symlinksDisabled(): boolean {
  return isTrue(variable("HF_HUB_DISABLE_SYMLINKS"));
}

/** `HF_HUB_DOWNLOAD_TIMEOUT`: the longest time without a byte, in milliseconds; 10 s as in huggingface_hub. */
export function stallTimeout(): number {
  const seconds = Number(variable("HF_HUB_DOWNLOAD_TIMEOUT"));
  return seconds > 0 ? seconds * 1000 : 10_000;
}

/**
 * The user's token, or null: `HF_TOKEN`, else the file that `hf auth login` writes (`HF_TOKEN_PATH`, `$HF_HOME/token`).
 * @throws ERR_HUB_ACCESS where it cannot be a token, without showing it
 */
export async function accessToken(): Promise<string | null> {
  const name = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].find((candidate) => variable(candidate) !== undefined);
  const path = expanded(variable("HF_TOKEN_PATH") ?? join(home(), "token"));
  const token = name ? variable(name) : (await readFile(path, "utf8").catch(() => "")).trim();
  if (!token) return null;
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new ScoreheadError(
    "ERR_HUB_ACCESS",
    `${name ? `The variable ${name}` : `The file ${path}`} holds something that is no token: it has spaces or other characters that a token never has.`,
  );
}

/** The hub cache that all tools share: `HF_HUB_CACHE`, `$HF_HOME/hub`, `$XDG_CACHE_HOME/huggingface/hub`. */
export function hubCache(): string {
  return resolve(expanded(variable("HF_HUB_CACHE") ?? variable("HUGGINGFACE_HUB_CACHE") ?? join(home(), "hub")));
}

function home(): string {
  return expanded(variable("HF_HOME") ?? join(variable("XDG_CACHE_HOME") ?? join(homedir(), ".cache"), "huggingface"));
}

/** `~` is the shell's, but stays where a variable comes from a file. */
function expanded(path: string): string {
  return path.replace(/^~(?=$|[/\\])/, homedir());
}
