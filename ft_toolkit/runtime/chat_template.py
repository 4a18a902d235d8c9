"""Render the chat template of a checkpoint without transformers.

A template is code of the checkpoint's author, so it runs in Jinja's sandbox, with the functions that transformers gives to
templates. The toolkit's own template needs no Jinja.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from importlib import import_module
from typing import Any, ClassVar

from ft_toolkit.core.errors import ModelError
from ft_toolkit.tasks.text.chat_format import OWN_TEMPLATE, Message, own_format

INSTALL = "pip install 'jinja2>=3.1.6'"
# Older versions have known ways out of the sandbox.
_OLDEST = (3, 1, 6)


def render_template(
    template: str, messages: Sequence[Message], special_tokens: Mapping[str, str], *, opens_answer: bool
) -> str:
    """Return the text of a dialogue; with `opens_answer`, up to the first character of the next answer.

    `special_tokens` has names such as `eos_token`. Raises ModelError without Jinja, and for messages that the template refuses.
    """
    if template == OWN_TEMPLATE:
        return own_format(messages, special_tokens.get("eos_token", ""), opens_answer=opens_answer)
    compiled, errors = _compile(template)
    try:
        return str(
            compiled.render(
                messages=[dict(message) for message in messages],
                tools=None,
                documents=None,
                add_generation_prompt=opens_answer,
                **special_tokens,
            )
        )
    except errors as error:
        raise ModelError(f"the chat template of the checkpoint refuses a dialogue: {error}") from None


@lru_cache(maxsize=8)
def _compile(template: str) -> tuple[Any, type[Exception]]:
    """Return the compiled template and the class of Jinja's errors. Raises ModelError."""
    try:
        jinja2, sandbox = import_module("jinja2"), import_module("jinja2.sandbox")
        ext, nodes = import_module("jinja2.ext"), import_module("jinja2.nodes")
    except ImportError:
        raise ModelError(f"the chat template of the checkpoint requires jinja2; install it with: {INSTALL}") from None
    if tuple(int(part) for part in jinja2.__version__.split(".")[:3] if part.isdecimal()) < _OLDEST:
        raise ModelError(f"the chat template of the checkpoint requires a newer jinja2; install it with: {INSTALL}")

    class Generation(ext.Extension):  # type: ignore[misc, name-defined] # imported above, where it is needed
        """The block `generation`, which marks answers and has no effect on the text."""

        tags: ClassVar[set[str]] = {"generation"}

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json  # Jinja's own filter escapes the characters of HTML
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    try:
        return environment.from_string(template), jinja2.TemplateError
    except jinja2.TemplateError as error:
        raise ModelError(f"the chat template of the checkpoint is not valid: {error}") from None


def _to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)
