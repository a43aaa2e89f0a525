/**
 * Regenerates test/golden/chat-templates.json: renders the templates of test/fixtures/chat-templates.ts with Jinja2.
 *
 * usage: npx tsx scripts/golden-templates.ts
 *
 * Needs `python3` with jinja2 (Debian: python3-jinja2), or another interpreter named by the variable PYTHON.
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CONVERSATIONS, GOLDEN_TEMPLATES, NOW, TEMPLATES, TOKENS } from "../test/fixtures/chat-templates.ts";

const script = fileURLToPath(new URL("reference-templates.py", import.meta.url));
const job = {
  templates: TEMPLATES,
  conversations: CONVERSATIONS,
  tokens: Object.fromEntries(Object.entries(TOKENS).map(([role, text]) => [`${role}_token`, text])),
  now: NOW,
};
const golden = execFileSync(process.env.PYTHON ?? "python3", [script], { input: JSON.stringify(job) });
writeFileSync(GOLDEN_TEMPLATES, `${golden.toString()}\n`);
