"""Write the result of a gate for CI: JUnit XML, and a Markdown summary that is appended to a file."""

import re
from pathlib import Path
from xml.etree import ElementTree

from ft_toolkit.core.files import write_file
from ft_toolkit.evaluation.compare.gate import Gate
from ft_toolkit.report.card import escape

# Characters that XML 1.0 does not allow. The values of a column can contain them.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: Path, gate: Gate) -> None:
    """Write a JUnit file with a test case per condition."""
    counts = {"tests": str(len(gate.checks)), "failures": str(len(gate.failed)), "errors": "0"}
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": _clean(f"ftk gate {gate.run}"), **counts})
    for check in gate.checks:
        name = {"classname": _clean(f"ftk.gate.{gate.run}"), "name": _clean(check.name)}
        case = ElementTree.SubElement(suite, "testcase", name)
        if check.passed:
            ElementTree.SubElement(case, "system-out").text = _clean(check.text)
        else:
            ElementTree.SubElement(case, "failure", {"message": _clean(check.line)}).text = _clean(check.line)
    ElementTree.indent(suites)
    write_file(path, ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n")


def add_summary(path: Path, gate: Gate) -> None:
    """Append the result in Markdown to a file, such as $GITHUB_STEP_SUMMARY."""
    verdict = f"{len(gate.failed)} of {len(gate.checks)} conditions failed" if gate.failed else "passed"
    lines = [f"### Gate of {escape(gate.run)}: {verdict}", ""]
    lines += ["|  | condition | result |", "|---|---|---|"]
    for check in gate.checks:
        lines.append(f"| {'pass' if check.passed else '**FAIL**'} | {escape(check.name)} | {escape(check.text)} |")
    lines += ["", *(f"- {escape(note)}" for note in gate.notes), f"- {escape(gate.split)}: {gate.n:,} examples", ""]
    with path.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
