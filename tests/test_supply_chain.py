"""The bill of materials, and the check for known vulnerabilities with a small database."""

import json
import re
import subprocess
import sys
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(script, *words):
    command = [sys.executable, ROOT / "supply_chain" / script, *words]
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


def test_the_bill_of_materials_has_every_dependency_once_and_all_references(tmp_path):
    done = run("sbom.py", tmp_path / "sbom.json")
    assert done.returncode == 0, done.stderr
    bill = json.loads((tmp_path / "sbom.json").read_text(encoding="utf-8"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    names = [component["name"] for component in bill["components"]]
    required = [line for line in requires("ft-toolkit") if "extra ==" not in line]
    assert len(set(names)) == len(names) > 40
    assert {re.split("[<>=!~ ]", line)[0].replace("_", "-") for line in required} <= set(names)
    known = {component["bom-ref"] for component in [bill["metadata"]["component"], *bill["components"]]}
    assert all({each["ref"], *each["dependsOn"]} <= known for each in bill["dependencies"])
    assert sum("licenses" in component for component in bill["components"]) > 0.9 * len(names)


RANGE = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}]


@pytest.fixture
def check(tmp_path):
    """Return a function that checks `Some_Package==VERSION` against one record."""

    def check(version, affected, **more):
        (tmp_path / "constraints.txt").write_text(f"# pins\nSome_Package=={version}\nother==1\n", encoding="utf-8")
        package = {"package": {"ecosystem": "PyPI", "name": "some-package"}, **affected}
        record = {"id": "OSV-1", "aliases": ["CVE-1"], "summary": "a hole", "affected": [package], **more}
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            archive.writestr("OSV-1.json", json.dumps(record))
        return run(
            "vulnerabilities.py", "--database", tmp_path / "all.zip", "--constraints", tmp_path / "constraints.txt"
        )

    return check


def test_a_known_vulnerability_is_found(check):
    done = check("1.9", {"ranges": RANGE})
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, "some-package 1.9: OSV-1 (CVE-1): a hole")
    assert check("2.0", {"ranges": RANGE}).stdout == "2 packages, 0 known vulnerabilities\n"
    assert check("2.0", {"ranges": RANGE, "versions": ["2.0"]}).returncode == 1
    assert check("1.9", {"ranges": RANGE}, withdrawn="2026-01-01T00:00:00Z").returncode == 0


def test_without_a_database_the_check_says_that_nothing_was_checked(tmp_path):
    for content in (None, "no archive"):
        path = tmp_path / "all.zip"
        if content is not None:
            path.write_text(content, encoding="utf-8")
        done = run("vulnerabilities.py", "--database", path)
        assert done.returncode == 3 and done.stderr.startswith(
            "NOT CHECKED: the database of vulnerabilities cannot be read"
        )
