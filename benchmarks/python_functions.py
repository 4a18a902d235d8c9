"""Write rows for code generation from Python files: the signature and the docstring of each function, and its body.

    python benchmarks/python_functions.py FOLDER                     the standard library of this interpreter
    python benchmarks/python_functions.py FOLDER --package numpy     the files of an installed package
    ftk run recipes/code_generation/small_functions_smollm2_lora.yaml data.card=FOLDER

FOLDER gets train.jsonl, validation.jsonl and test.jsonl, and a data card with the licence. A module is in one split: the split
depends on a hash of its name. A function that is equal in another module is used once. Left out are tests, generated files, and
functions without a docstring, with a body that ends before its last line by the rule of the task, or outside the limits of
length. Nothing is imported or run.
"""

import argparse
import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ft_toolkit.metrics.code import before_dedent

Row = dict[str, Any]
_CARD = """---
pretty_name: {title}
license: {licence}
language: [en]
task_categories: [text-generation]
ft_toolkit:
  source:
    files: {{train: train.jsonl, validation: validation.jsonl, test: test.jsonl}}
  splits:
{splits}
  tasks:
    code_generation:
      columns: {{prompt: prompt, body: body}}
---

# {title}

Signatures, docstrings and bodies of functions, taken without changes except of the common indentation. Licence of the
files: {licence_text}. The rows are not part of ft_toolkit; `benchmarks/python_functions.py` writes them from installed files.
"""
_SKIPPED = {
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "site-packages",
    "dist-packages",
    "turtledemo",
    "pydoc_data",
    "__pycache__",
}


def main() -> None:
    """Write the rows and the card, and print the number of rows of each split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--package", help="an installed package; default: the standard library")
    parser.add_argument(
        "--characters", type=int, default=500, help="maximum number of characters of a prompt, and of a body"
    )
    parser.add_argument(
        "--rows", type=int, nargs=3, help="maximum numbers of rows of the three splits, drawn by a hash"
    )
    arguments = parser.parse_args()
    root, title, licence = _source(arguments.package)
    splits: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
    seen: set[str] = set()
    for path in sorted(root.rglob("*.py")):
        module = path.relative_to(root).with_suffix("").as_posix()
        if _SKIPPED & set(Path(module).parts[:-1]) or Path(module).name.startswith(("test_", "_generated")):
            continue
        for row in _functions(path, module, arguments.characters):
            key = f"{row['prompt']}\n{row['body']}"
            if key not in seen:
                seen.add(key)
                splits[_split(module)].append(row)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for n, (split, rows) in zip(arguments.rows or (None,) * 3, splits.items(), strict=True):
        splits[split] = sorted(rows, key=lambda row: _hash(row["id"]))[:n]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in splits[split])
        (arguments.folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
        n_modules = len({row["module"] for row in splits[split]})
        print(f"{split}: {len(splits[split])} of {len(rows)} functions, of {n_modules} modules")
    counts = "\n".join(f"    {split}: {{rows: {len(rows)}}}" for split, rows in splits.items())
    card = _CARD.format(title=title, licence=licence[0], licence_text=licence[1], splits=counts)
    (arguments.folder / "README.md").write_text(card, encoding="utf-8")


def _source(package: str | None) -> tuple[Path, str, tuple[str, str]]:
    """Return the folder of the files, a title, and the licence: its Hub identifier and its name."""
    if package is None:
        version = ".".join(map(str, sys.version_info[:3]))
        return (
            Path(sysconfig.get_path("stdlib")),
            f"Functions of the standard library of Python {version}",
            ("other", "Python Software Foundation License Version 2 (https://docs.python.org/3/license.html)"),
        )
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{package}: no installed package with files")
    metadata = importlib.metadata.metadata(package)
    licence = metadata.get("License-Expression") or metadata.get("License") or "unknown; see the package"
    folder = Path(next(iter(spec.submodule_search_locations)))
    return folder, f"Functions of {package} {metadata['Version']}", ("other", licence.splitlines()[0])


def _functions(path: Path, module: str, limit: int) -> Iterator[Row]:
    """Yield a row per function of a file with a docstring, in the order of the file."""
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (UnicodeDecodeError, SyntaxError):
        return
    lines = text.split("\n")
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or len(node.body) < 2:
            continue
        if ast.get_docstring(node) is None or node.body[0].end_lineno == node.body[1].lineno:
            continue
        documented, depth = node.body[0].end_lineno or 0, node.col_offset
        parts = (lines[node.lineno - 1 : documented], lines[documented : node.end_lineno])
        prompt, body = ("\n".join(_moved(line, depth) for line in part).strip("\n").rstrip() for part in parts)
        if max(len(prompt), len(body)) <= limit and before_dedent(body).rstrip() == body and body[:4] == "    ":
            yield {"id": f"{module}:{node.lineno}", "module": module, "prompt": prompt, "body": body}


def _moved(line: str, depth: int) -> str:
    """Return a line without the indentation of its function; a line of a text that is indented less is kept."""
    return line[depth:] if not line[:depth].strip() else line


def _split(module: str) -> str:
    """Return the split of a module: a tenth each for validation and test."""
    number = int(_hash(module)[:8], 16) % 10
    return "test" if number == 0 else "validation" if number == 1 else "train"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    main()
