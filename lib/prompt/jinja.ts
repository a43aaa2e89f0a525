/** The part of @huggingface/jinja in use, typed: its own declarations do not resolve under Node's module rules. */
import * as untyped from "@huggingface/jinja";

/** A node of the syntax tree. */
export interface JinjaNode {
  readonly type: string;
  readonly value?: unknown;
}

export interface JinjaValue {
  readonly type: string;
  readonly value: unknown;
  toString(): string;
}

export interface JinjaEnvironment {
  /** Declares a variable, given as a JavaScript value. */
  set(name: string, value: unknown): JinjaValue;
}

/** Evaluates a program node by node: `evaluate` calls itself for every node inside another. */
interface JinjaInterpreter {
  run(program: JinjaNode): JinjaValue;
  evaluate(node: JinjaNode | undefined, environment: JinjaEnvironment): JinjaValue;
  /** Evaluates statements in order: what they write. */
  evaluateBlock(statements: readonly JinjaNode[], environment: JinjaEnvironment): JinjaValue;
}

interface Jinja {
  readonly Environment: new (parent?: JinjaEnvironment) => JinjaEnvironment;
  readonly Interpreter: new (environment: JinjaEnvironment) => JinjaInterpreter;
  tokenize(source: string, options: { readonly trim_blocks: boolean; readonly lstrip_blocks: boolean }): unknown[];
  parse(tokens: unknown[]): JinjaNode;
}

export const { Environment, Interpreter, tokenize, parse } = untyped as unknown as Jinja;
