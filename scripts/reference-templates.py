"""Renders chat templates with Jinja2 as transformers does: the independent reference for lib/prompt/chat-template.ts.

usage: python3 scripts/reference-templates.py < JOB.json > GOLDEN.json

JOB.json: {"templates": {name: source}, "conversations": [messages, ...], "tokens": {"bos_token": ..., ...}, "now": ISO
8601}. GOLDEN.json: {name: [text or null where the template refuses the conversation, ...]}. The environment is that of
transformers.utils.chat_template_utils._compile_jinja_template. Needs python3-jinja2; scripts/golden-templates.ts runs it.
"""
import json
import sys
from datetime import datetime

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def render(template, messages, tokens):
    try:
        return template.render(messages=messages, tools=None, documents=None, add_generation_prompt=False, **tokens)
    except jinja2.exceptions.TemplateError:
        return None


job = json.load(sys.stdin)
environment = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
)
environment.filters["tojson"] = tojson
environment.globals["raise_exception"] = raise_exception
environment.globals["strftime_now"] = datetime.fromisoformat(job["now"]).strftime
golden = {}
for name, source in job["templates"].items():
    template = environment.from_string(source)
    golden[name] = [render(template, messages, job["tokens"]) for messages in job["conversations"]]
json.dump(golden, sys.stdout, indent=1)
