/** The checkpoint's own chat template: Jinja, set up as `apply_chat_template` of transformers does. */
import { ScoreheadError } from "../errors.ts";
import {
  Environment,
  Interpreter,
  type JinjaEnvironment,
  type JinjaNode,
  type JinjaValue,
  parse,
  tokenize,
} from "./jinja.ts";
import { findStrip, pythonStrip } from "./python-strip.ts";
import { strftime } from "./strftime.ts";
import type { Message, TemplateTokens } from "./types.ts";

/** A template is a program of the checkpoint's; thousands of turns stay far below these. */
const MOST_STEPS = 500_000;
const LONGEST_RANGE = 100_000;
/** Nodes that give a value that is there already. */
const REFERENCES: ReadonlySet<string> = new Set(["Identifier", "MemberExpression"]);

/** A chat template, parsed when it is first used: a broken one does not keep exact texts from being scored. */
export class ChatTemplate {
  readonly #source: string;
  #program: JinjaNode | undefined;

  constructor(source: string) {
    this.#source = source;
  }

  /**
   * Renders a conversation as `apply_chat_template(messages, tokenize=False)` does, without a generation prompt.
   *
   * @param now what `strftime_now` tells
   * @throws ERR_TEMPLATE with the template's own words where it refuses the conversation, and where it is not valid,
   *   uses what @huggingface/jinja does not have, or does not end
   */
  render(messages: readonly Message[], tokens: TemplateTokens, now: Date): string {
    try {
      this.#program ??= parse(tokenize(this.#source, { trim_blocks: true, lstrip_blocks: true }));
      const environment = new Environment();
      for (const [name, value] of Object.entries(globals(messages, tokens, now))) environment.set(name, value);
      return new ChatInterpreter(environment).render(this.#program);
    } catch (error) {
      if (error instanceof ScoreheadError) throw error;
      throw new ScoreheadError(
        "ERR_TEMPLATE",
        `The model's chat template failed: ${(error as Error).message}. Pass the exact text as a string instead.`,
        error,
      );
    }
  }
}

/** What transformers puts into a template's reach; a special token that the tokenizer lacks is undefined. */
function globals(messages: readonly Message[], tokens: TemplateTokens, now: Date): Record<string, unknown> {
  const special = Object.entries(tokens).flatMap(([role, text]) => (text === "" ? [] : [[`${role}_token`, text]]));
  return {
    ...{ true: true, True: true, false: false, False: false, none: null, None: null },
    ...Object.fromEntries(special),
    messages,
    tools: null,
    documents: null,
    add_generation_prompt: false,
    raise_exception: (message: unknown) => {
      throw new ScoreheadError(
        "ERR_TEMPLATE",
        `The model's chat template refuses the conversation: ${String(message)}`,
      );
    },
    strftime_now: (format: string) => strftime(now, format),
    range,
  };
}

/** Python's `range`, as a list. */
function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (!(length <= LONGEST_RANGE)) throw new Error(`range() gives ${length} numbers, more than ${LONGEST_RANGE}`);
  return Array.from({ length }, (_, i) => start + i * step);
}

/** What of a loop's node is looked at. */
interface LoopNode extends JinjaNode {
  readonly iterable: JinjaNode & { readonly lhs?: JinjaNode };
  readonly body: readonly JinjaNode[];
}

interface BinaryNode extends JinjaNode {
  readonly operator: JinjaNode;
  readonly left: JinjaNode;
  readonly right: JinjaNode;
}

/**
 * Counts steps, and does as Jinja2 where @huggingface/jinja does not, which would go unnoticed:
 * - `lstrip("\n")` and its like strip no more than they are given (Qwen3's template), `trim` what Python takes for space.
 * - A remainder has the sign of what is divided by.
 * - What a turn of a loop sets is gone in the next, and what it wrote before a `break` or `continue` stays.
 */
class ChatInterpreter extends Interpreter {
  #steps = 0;
  readonly #iterables = new Set<JinjaNode>();
  /** The bodies of loops, and whether a `break` has ended them. */
  readonly #loops = new Map<readonly JinjaNode[], { isOver: boolean }>();
  /** How the turn of a loop that is being evaluated was left. */
  #left: "Break" | "Continue" | null = null;

  render(program: JinjaNode): string {
    const text = this.run(program).toString();
    if (this.#left) throw new Error(`${this.#left} stands outside a loop`);
    return text;
  }

  override evaluate(node: JinjaNode | undefined, environment: JinjaEnvironment): JinjaValue {
    if (node?.type === "For") {
      const { iterable, body } = node as LoopNode;
      this.#iterables.add(iterable.lhs ?? iterable);
      this.#loops.set(body, { isOver: false });
    }
    const value =
      this.#strip(node, environment) ?? this.#remainder(node, environment) ?? super.evaluate(node, environment);
    this.#steps += this.#costOf(node, value);
    if (this.#steps > MOST_STEPS) throw new Error(`it does not end within ${MOST_STEPS} steps`);
    return value;
  }

  override evaluateBlock(statements: readonly JinjaNode[], environment: JinjaEnvironment): JinjaValue {
    const loop = this.#loops.get(statements);
    const scope = loop ? new Environment(environment) : environment;
    let text = "";
    for (const statement of loop?.isOver ? [] : statements) {
      if (statement.type === "Break" || statement.type === "Continue") this.#left = statement.type;
      else text += print(this.evaluate(statement, scope));
      if (this.#left) break;
    }
    if (loop && this.#left) {
      loop.isOver = this.#left === "Break";
      this.#left = null;
    }
    return toValue(text);
  }

  /** A list costs as much as it is long where it is made, and ten times that where a loop goes through it. */
  #costOf(node: JinjaNode | undefined, { value }: JinjaValue): number {
    if (!node || !Array.isArray(value)) return 1;
    if (this.#iterables.has(node)) return 10 * value.length;
    return REFERENCES.has(node.type) ? 1 : value.length;
  }

  #strip(node: JinjaNode | undefined, environment: JinjaEnvironment): JinjaValue | null {
    const strip = findStrip(node);
    const text = strip && this.evaluate(strip.operand, environment).value;
    if (!strip || typeof text !== "string") return null;
    const characters = strip.characters ? this.evaluate(strip.characters, environment).value : null;
    return toValue(pythonStrip(text, strip.side, characters));
  }

  #remainder(node: JinjaNode | undefined, environment: JinjaEnvironment): JinjaValue | null {
    const { type, operator, left, right } = (node ?? {}) as Partial<BinaryNode>;
    if (type !== "BinaryExpression" || operator?.value !== "%") return null;
    const [a, b] = [left, right].map((side) => this.evaluate(side, environment).value) as [unknown, unknown];
    if (!Number.isInteger(a) || !Number.isInteger(b) || b === 0) throw new Error("% takes whole numbers");
    return toValue((((a as number) % (b as number)) + (b as number)) % (b as number));
  }
}

/** A text or number as the interpreter holds it. */
function toValue(value: string | number): JinjaValue {
  return new Environment().set("value", value);
}

/** What a statement writes. */
function print(value: JinjaValue): string {
  return value.type === "NullValue" || value.type === "UndefinedValue" ? "" : value.toString();
}
