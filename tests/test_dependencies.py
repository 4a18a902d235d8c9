"""docs/dependencies.md lists the direct dependencies, with the versions of constraints.txt."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_table_has_every_direct_dependency_with_its_pinned_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = {re.split(r"[><=~! ]", line)[0] for line in project["dependencies"]}
    table = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| ([a-z_0-9-]+) \| ([0-9.]+)", table, re.MULTILINE))
    assert listed.keys() == required
    pins = dict(
        re.findall(
            r"^([A-Za-z_0-9.-]+)==([^\s+]+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE
        )
    )
    pinned = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    assert {name: pinned[name.replace("_", "-")] for name in listed} == listed
