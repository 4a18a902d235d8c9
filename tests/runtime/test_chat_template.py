"""The runtime renders chat templates as transformers does, without transformers."""

import sys
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.errors import ModelError
from ft_toolkit.export.write_model import graph_facts
from ft_toolkit.models.pretrained import load_tokenizer
from ft_toolkit.runtime import chat_template
from ft_toolkit.runtime.tokenizer import RuntimeTokenizer
from ft_toolkit.tasks.text import chat_format

TEMPLATES = {
    "ours": chat_format.OWN_TEMPLATE,
    "roles": (
        "{% for m in messages %}\n  {% if loop.first and m['role'] != 'system' %}{{ bos_token }}be brief\n{% endif %}\n"
        "    {{ '<s>' + m['role'] + '\n' + m['content'] | trim + '</s>' + '\n' }}\n{% endfor %}\n"
        "{% if add_generation_prompt %}{{ '<s>assistant\n' }}{% endif %}"
    ),
    "generation block, json and a break": (
        "{%- set ns = namespace(n=0) -%}{%- for m in messages -%}{%- set ns.n = ns.n + 1 -%}"
        "{%- if m.role == 'assistant' -%}{%- generation -%}{{ m.content }}{{ eos_token }}{%- endgeneration -%}"
        "{%- else -%}{{ {'role': m.role, 'text': m.content} | tojson }}{%- endif -%}"
        "{%- if ns.n == 3 -%}{%- break -%}{%- endif -%}{%- endfor -%}{{ ns.n }}{% if tools %}tools{% endif %}"
    ),
}
DIALOGUES = [
    [("user", "Hi <b> & \u00e9 \U0001f600")],
    [("system", "Be brief."), ("user", " Where? \nAssistant: no"), ("assistant", "There.")],
    [("user", "a"), ("assistant", "b"), ("user", "{{ eos_token }}"), ("assistant", "d")],
]


def _both(template: str, tiny: Any, folder: Path) -> tuple[Any, RuntimeTokenizer]:
    """Return the tokenizer of transformers and of the runtime with a template."""
    tokenizer = load_tokenizer(Path(tiny("llama")))
    tokenizer.chat_template = template
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer, RuntimeTokenizer(folder, graph_facts(tokenizer, ["logits"], ["input_ids"]))


@pytest.mark.parametrize("name", TEMPLATES)
def test_dialogues_are_rendered_as_in_transformers(name: str, tiny: Any, tmp_path: Path) -> None:
    theirs, ours = _both(TEMPLATES[name], tiny, tmp_path)
    for dialogue in DIALOGUES:
        messages = [{"role": role, "content": text} for role, text in dialogue]
        for opens in (True, False):
            rendered = chat_format.render(messages, ours, opens_answer=opens)
            assert rendered == chat_format.render(messages, theirs, opens_answer=opens)
            assert chat_format.tokens_of(rendered, ours) == chat_format.tokens_of(rendered, theirs)
    assert chat_format.special_strings(ours) == chat_format.special_strings(theirs)


def test_a_template_runs_in_a_sandbox_and_may_refuse(tiny: Any, tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "a"}]
    _, ours = _both("{{ raise_exception('no user') }}", tiny, tmp_path)
    with pytest.raises(ModelError, match="refuses a dialogue: no user"):
        chat_format.render(messages, ours, opens_answer=True)
    for escape in (
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__mro__ }}{{ ''.__class__.__mro__[1].__subclasses__() }}",
    ):
        _, ours = _both(escape, tiny, tmp_path)
        with pytest.raises(ModelError, match="refuses a dialogue"):
            chat_format.render(messages, ours, opens_answer=True)
    _, ours = _both("{% for m in messages %}", tiny, tmp_path)
    with pytest.raises(ModelError, match="the chat template of the checkpoint is not valid"):
        chat_format.render(messages, ours, opens_answer=True)


def test_only_a_template_of_the_checkpoint_needs_jinja(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat_template._compile.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    messages = [{"role": "user", "content": "a"}]
    _, ours = _both(TEMPLATES["roles"], tiny, tmp_path)
    with pytest.raises(ModelError, match=r"requires jinja2; install it with: pip install 'jinja2>=3\.1\.6'"):
        chat_format.render(messages, ours, opens_answer=True)
    _, ours = _both(chat_format.OWN_TEMPLATE, tiny, tmp_path)
    assert chat_format.render(messages, ours, opens_answer=True) == "User: a\nAssistant:"
