/** Chat templates, against what Jinja2 itself makes of them under transformers' settings (test/golden). */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ChatTemplate } from "../../lib/prompt/chat-template.ts";
import { pythonStrip } from "../../lib/prompt/python-strip.ts";
import { strftime } from "../../lib/prompt/strftime.ts";
import { CONVERSATIONS, GOLDEN_TEMPLATES, NOW, TEMPLATES, TOKENS } from "../fixtures/chat-templates.ts";

const GOLDEN: Readonly<Record<string, readonly (string | null)[]>> = JSON.parse(readFileSync(GOLDEN_TEMPLATES, "utf8"));
const [GREETING = []] = CONVERSATIONS;

function render(source: string, messages = GREETING, tokens = TOKENS): string {
  return new ChatTemplate(source).render(messages, tokens, new Date(NOW));
}

function refusal(...parts: readonly string[]): unknown {
  return expect.objectContaining({ code: "ERR_TEMPLATE", message: expect.stringContaining(parts.join("")) });
}

describe.each(Object.entries(TEMPLATES))("%s", (name, source) => {
  it.each(CONVERSATIONS.map((messages, i) => [i, messages] as const))("renders conversation %i", (i, messages) => {
    const golden = GOLDEN[name]?.[i];
    if (golden === null) expect(() => render(source, messages)).toThrow(refusal("refuses the conversation: "));
    else expect(render(source, messages)).toBe(golden);
  });
});

describe("what a template sees", () => {
  it("are transformers' names", () => {
    const names = "messages tools documents add_generation_prompt bos_token eos_token unk_token pad_token".split(" ");
    const source = names.map((name) => `{{ ${name} is defined }} `).join("");
    expect(render(source)).toBe("true ".repeat(names.length));
    expect(render("{{ tools is none and documents is none and not add_generation_prompt }}")).toBe("true");
  });

  it("is no token that the tokenizer lacks", () => {
    const tokens = { ...TOKENS, bos: "" };
    expect(render("{{ bos_token }}{{ bos_token is defined }}{{ eos_token }}", GREETING, tokens)).toBe("false</s>");
  });

  it("is the text, never as a template", () => {
    const messages = [{ role: "user" as const, content: "{{ eos_token }}{% endif %}" }];
    expect(render("{{ messages[0].content }}", messages)).toBe("{{ eos_token }}{% endif %}");
  });
});

describe("templates that fail", () => {
  it("tell their own words", () => {
    expect(() => render("{{ raise_exception('No system turns!') }}")).toThrow(
      refusal("The model's chat template refuses the conversation: No system turns!"),
    );
  });

  it.each([
    ["that are not Jinja", "{% for %}", "The model's chat template failed: "],
    ["that use an unknown filter", "{{ messages | nonsense }}", "nonsense"],
    ["that add undefined things", "{{ 'a' + messages[0].name }}", "undefined"],
    ["that write an unknown date", "{{ strftime_now('%Q') }}", "%Q"],
    ["that do not end", `{% for a in range(90000) %}{{ ${"1 + ".repeat(99)}1 }}{% endfor %}`, "does not end within"],
    [
      "that go through lists of lists",
      "{% for a in range(300) %}{% for b in range(300) %}{% endfor %}{% endfor %}",
      "does not end",
    ],
    [
      "that make lists for ever",
      "{% for a in range(9000) %}{% set x = range(9000) %}{% endfor %}",
      "does not end within",
    ],
    ["with giant lists", "{{ range(1000000000) | length }}", "gives 1000000000 numbers"],
    [
      "with giant texts",
      "{% set ns = namespace(t='ab') %}{% for i in range(99) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}",
      "string",
    ],
    ["nested beyond reason", `{{ ${"(".repeat(100_000)}1 }}`, "stack"],
  ])("%s are an error with the remedy", (_, source, part) => {
    const remedy = "Pass the exact text as a string instead.";
    expect(() => render(source)).toThrow(
      expect.objectContaining({
        code: "ERR_TEMPLATE",
        message: expect.stringMatching(new RegExp(`${part}.*${remedy}`)),
      }),
    );
  });
});

describe("pythonStrip", () => {
  // The results of Python 3.11.
  it.each([
    [" a ", "both", null, "a"],
    ["\x1c\x85\u3000a\ufeff\u2028", "both", null, "a\ufeff"],
    ["\ufeffa\u200b", "both", null, "\ufeffa\u200b"],
    ["\n a \n", "start", "\n", " a \n"],
    ["\n a \n", "end", "\n", "\n a "],
    ["xyaxy", "both", "yx", "a"],
    ["😀a😀\ud83d", "both", "😀", "a😀\ud83d"],
    ["😀😀", "both", "😀", ""],
    [" a ", "both", "", " a "],
    ["", "both", null, ""],
  ] as const)("%j %s %j", (text, side, characters, expected) => {
    expect(pythonStrip(text, side, characters)).toBe(expected);
  });

  it("takes no number", () => {
    expect(() => pythonStrip("a", "both", 1)).toThrow("strip takes a text");
  });
});

describe("strftime", () => {
  it("writes what Python's C locale does", () => {
    const afternoon = new Date(2024, 6, 4, 15, 7, 9);
    expect(strftime(afternoon, "%d %b %Y|%B %d, %Y|%Y-%m-%d|%H:%M:%S|%I %p|%A %a|%y %%")).toBe(
      "04 Jul 2024|July 04, 2024|2024-07-04|15:07:09|03 PM|Thursday Thu|24 %",
    );
    expect(strftime(new Date(2024, 0, 1), "%I %p")).toBe("12 AM");
  });
});
