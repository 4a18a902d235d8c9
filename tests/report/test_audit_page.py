"""The page that reviews the rows of an audit: its script runs offline, and no text of the data runs."""

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser

from ft_toolkit.data.faults.fault import DataAudit
from ft_toolkit.data.load_data import load_data
from ft_toolkit.recipe.load_recipe import load_values
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.report.audit_page import write_audit_page
from ft_toolkit.runs.data_audit import AuditSource, audit_rows
from ft_toolkit.tasks import find_tasks

HOSTILE = (
    "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=2'><!--<script> {{ 7 * 7 }} \u2028"
)

COUNT = "document.getElementById('count').textContent"


def choose(element: str, value: str, event: str) -> str:
    """Return a script that sets the value of an element as a user does."""
    return f"(() => {{ const e = {element}; e.value = '{value}'; e.dispatchEvent(new Event('{event}')) }})()"


@pytest.fixture
def audited(tmp_path: Path) -> DataAudit:
    """Return an audit of 12 rows: row 1 repeats in row 11, with another label, and row 12 repeats row 2."""
    tasks = find_tasks()
    texts = [f"{HOSTILE} {number} text" for number in range(1, 11)]
    texts += texts[:2]
    rows = [{"text": text, "label": "good" if i % 2 else f"bad {HOSTILE}"} for i, text in enumerate(texts)]
    rows[10]["label"] = "good"
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    values = {
        "task": "text_classification",
        "model": {"name": "none"},
        "data": {"train": str(tmp_path / "rows.jsonl"), "validation": str(tmp_path / "rows.jsonl")},
    }
    recipe = load_values("rows", values, tasks, "test").recipe
    task = tasks["text_classification"]
    source = AuditSource(f"rows {HOSTILE}", task, recipe, load_data(recipe.data, task, recipe.task))
    return audit_rows(source, "ftk data audit", lambda step, done, total: None)


@pytest.fixture
def page(audited: DataAudit, tmp_path: Path) -> Path:
    write_audit_page(tmp_path / "audit.html", audited)
    return tmp_path / "audit.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start a browser for the tests of this file."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    started = Browser(tmp_path_factory.mktemp("browser"))
    yield started
    started.close()


def test_the_policy_allows_the_script_by_its_hash_and_no_text_ends_an_element(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL)
    assert [attributes for attributes, _ in scripts] == [' type="application/json" id="rows"', ""]
    digest = base64.b64encode(hashlib.sha256(scripts[1][1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'; require-trusted-types-for 'script'" in text.partition("<title>")[0]
    assert json.loads(scripts[0][1])["rows"][0]["text"].startswith("</script>")
    assert "innerHTML" not in scripts[1][1] and "eval" not in scripts[1][1]


@pytest.mark.slow
def test_hostile_texts_do_not_run(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.run("document.querySelectorAll('#review tr[data-row]').length") > 10
    assert browser.run("document.querySelector('#review .text').textContent").startswith("</script><script>")
    assert browser.run("typeof window.hacked") == "undefined"
    assert browser.run("document.querySelectorAll('img, script').length") == 2
    assert browser.messages == []
    # the policy refuses other scripts, also those that a script would add
    browser.run("document.body.append(Object.assign(document.createElement('div'), {id: 'probe'}))")
    refused = browser.run(
        "(() => { try { document.getElementById('probe').innerHTML = '<img src=x onerror=1>' } catch (e) { return e.name } })()"
    )
    assert refused == "TypeError"


@pytest.mark.slow
def test_decisions_by_keyboard_become_a_patch_that_the_rows_accept(
    browser: Browser, page: Path, tmp_path: Path
) -> None:
    browser.open(page)
    browser.run(choose("document.getElementById('fault')", "contradictions", "input"))
    shown = browser.run("[...document.querySelectorAll('#review tr[data-row] th')].map((cell) => cell.textContent)")
    assert shown == ["train 1", "train 11", "validation 1", "validation 11"]
    browser.press("j", "d", "j", "e", "j", "r")
    browser.run(choose("document.activeElement", "label good", "change"))
    assert browser.run(COUNT).endswith("decided: 1 keep, 1 relabel, 1 drop")
    browser.run("document.getElementById('save').click()")
    saved = browser.downloads / "patch.json"
    for _ in range(100):
        if saved.exists():
            break
        time.sleep(0.05)
    decisions = json.loads(saved.read_text(encoding="utf-8"))["decisions"]
    assert [(d["split"], d["row"], d["decision"], d.get("label")) for d in decisions] == [
        ("train", "1", "drop", None),
        ("train", "11", "keep", None),
        ("validation", "1", "relabel", "good"),
    ]
    task = find_tasks()["text_classification"]
    rows = str(tmp_path / "rows.jsonl")
    data = load_data(DataSection(train=rows, validation=rows, patch=str(saved)), task, task.settings())
    assert [row["id"] for row in data.splits["train"]] == [str(n) for n in range(2, 13)]
    assert data.splits["validation"][0]["label"] == "good"
    browser.open(page)  # the browser has kept the decisions
    assert browser.run(COUNT).endswith("decided: 1 keep, 1 relabel, 1 drop")


@pytest.mark.slow
def test_search_and_decisions_on_all_matching_rows(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run("localStorage.clear()")
    browser.open(page, is_dark=True)
    browser.press("/", *"2 TEXT")
    shown = browser.run("[...document.querySelectorAll('#review tr[data-row] .text')].map((cell) => cell.textContent)")
    assert shown and all(" 2 text" in text for text in shown)
    browser.run(choose("document.getElementById('all')", "drop", "change"))
    assert browser.run(COUNT).endswith("decided: 0 keep, 0 relabel, 4 drop")
