/** Reading a config by name, with what was read remembered: a setting that nobody reads may change the arithmetic. */
import type { JsonObject } from "../checkpoint/types.ts";
import { ScoreheadError } from "../errors.ts";

/** No published size comes near it; a larger one is a damaged config. */
const MOST = 1 << 26;

export class ConfigReader {
  readonly #config: JsonObject;
  readonly #defaults: JsonObject;
  readonly #read = new Set<string>();

  /** @param defaults what is assumed where the config has no such key; `null` in a config stays `null` */
  constructor(config: JsonObject, defaults: JsonObject = {}) {
    this.#config = config;
    this.#defaults = defaults;
  }

  /** undefined: neither the config nor the defaults have it. */
  value(name: string): unknown {
    this.#read.add(name);
    return this.#config[name] === undefined ? this.#defaults[name] : this.#config[name];
  }

  /** @param fallback where it is missing or null */
  integer(name: string, fallback?: number): number {
    const value = this.value(name) ?? fallback;
    if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > MOST)
      throw invalidConfig(name, value, `an integer from 1 to ${MOST}`);
    return value as number;
  }

  /** @param fallback where it is missing or null */
  positive(name: string, fallback?: number): number {
    const value = this.value(name) ?? fallback;
    if (typeof value !== "number" || !Number.isFinite(value) || value <= 0)
      throw invalidConfig(name, value, "a positive number");
    return value;
  }

  /** @param fallback where it is missing or null */
  flag(name: string, fallback: boolean): boolean {
    const value = this.value(name) ?? fallback;
    if (typeof value !== "boolean") throw invalidConfig(name, value, "true or false");
    return value;
  }

  /** So many positive numbers. */
  numbers(name: string, count: number): readonly number[] {
    const value = this.value(name);
    const fits = Array.isArray(value) && value.length === count && value.every((n) => typeof n === "number" && n > 0);
    if (!fits) throw invalidConfig(name, value, `a list of ${count} positive numbers`);
    return value;
  }

  /** The names that nobody has asked for and that say something: not null, false, 0 or empty. */
  unread(): readonly string[] {
    return Object.keys(this.#config).filter((name) => !this.#read.has(name) && says(this.#config[name]));
  }
}

function says(value: unknown): boolean {
  return typeof value === "object" && value !== null ? Object.keys(value).length > 0 : Boolean(value);
}

export function invalidConfig(name: string, value: unknown, expected: string): ScoreheadError {
  const found = value === undefined ? "missing" : JSON.stringify(value);
  return new ScoreheadError(
    "ERR_CONFIG",
    `config.json: ${name} is ${found}; it has to be ${expected}. Take the config of the model that the weights are of.`,
  );
}

export function unsupported(reason: string): ScoreheadError {
  return new ScoreheadError(
    "ERR_UNSUPPORTED",
    `This checkpoint cannot be converted: ${reason}. Its scores would be wrong.`,
  );
}
