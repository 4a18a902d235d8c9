"""Every check and every kind of fault in the folder is used."""

import ast
from pathlib import Path

from ft_toolkit.data.faults import find_faults

FOLDER = Path(find_faults.__file__).parent


def test_every_check_runs_and_every_kind_has_a_place() -> None:
    names: set[str] = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Fault":
                names.add(ast.literal_eval(node.args[0]))
            is_check = isinstance(node, ast.FunctionDef) and node.name.startswith("find_") and node.args.args
            if is_check and "AuditedRows" in ast.unparse(node.args.args[0]):
                assert hasattr(find_faults, node.name), f"{path.name}: {node.name} is not called"
    assert names == set(find_faults.ORDER)
