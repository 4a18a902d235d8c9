"""Every page forbids requests and all scripts but its own, and no text of the data fills it."""

import re
from pathlib import Path

import pytest

from ft_toolkit.report.templating import load_template

TEMPLATES = Path(load_template("report.html.j2", autoescape=True).filename or "").parent
PAGES = sorted(path.name for path in TEMPLATES.glob("*.html.j2") if "<head>" in path.read_text(encoding="utf-8"))
POLICY = """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; """


def test_pages_are_found() -> None:
    assert {"report.html.j2", "comparison.html.j2", "folds.html.j2", "seeds.html.j2", "sweep.html.j2"} < set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_has_a_policy_before_any_content(name: str) -> None:
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    head = load_template("head.html.j2", autoescape=True).render()
    assert POLICY in head
    assert text.partition("<head>")[2].strip().startswith('{% include "head.html.j2" %}')
    assert "<img" not in text
    # the policy has the hash of the one script (test_audit_page.py)
    scripts = re.findall(r"<script(.*?)>(.*?)</script>", text, re.DOTALL)
    assert scripts in ([], [(' type="application/json" id="rows"', "{{ rows }}"), ("", "{{ script.text }}")])
    assert text.count("<script") == len(scripts)


def test_a_long_text_is_shortened_and_finished_html_is_not() -> None:
    from markupsafe import Markup

    template = load_template("head.html.j2", autoescape=True).environment.from_string("{{ text }}|{{ html }}")
    text, _, html = template.render(text="a<" * 50_000, html=Markup("<b>" * 50_000)).partition("|")
    assert len(text) < 60_000 and text.endswith("… (80,000 more characters)") and "<" not in text
    assert html == "<b>" * 50_000
