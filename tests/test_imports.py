"""The rooms of the package: a module imports only from its own room and from rooms below it, without cycles."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ft_toolkit

PACKAGE = Path(ft_toolkit.__file__).parent

# From top to bottom. A module imports only from its own room and from rooms below it, also inside functions.
ROOMS = [
    "cli",
    "serve",
    "runs",
    "hub",
    "export",
    "report",
    "inference",
    "evaluation",
    "training",
    "models",
    "runtime",
    "data",
    "recipe",
    "tasks",
    "metrics",
    "core",
]
# Modules beside the rooms; they may import everything.
TOP_LEVEL = {"__init__", "__main__", "api"}
# Light: no module-level import of a library that takes seconds. An invalid recipe is refused before torch is loaded.
HEAVY = {"torch", "transformers", "datasets", "evaluate", "accelerate", "peft", "sklearn"}
LIGHT = [
    "cli",
    "serve",
    "hub",
    "evaluation.statistics",
    "evaluation.breakdown",
    "evaluation.compare",
    "training.distributed.launch",
    "training.distributed.fsdp",
    "training.distributed.zero",
    "training.batching",
    "runtime",
    "data",
    "recipe",
    "tasks",
    "metrics",
    "core",
]
# Imported inside functions only.
HEAVY_EXCEPTIONS = {"metrics.offline", "tasks.text.kv_cache"}


def _modules() -> dict[str, ast.Module]:
    """Return the syntax tree of every module by its dotted name below the package; a package is named as its folder."""
    trees = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        trees[name if name == "__init__" else name.removesuffix(".__init__")] = ast.parse(path.read_text("utf-8"))
    return trees


MODULES = _modules()


def _import_statements(tree: ast.AST, *, lazy: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports outside `if TYPE_CHECKING:`; with `lazy`, also those inside functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif lazy or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _import_statements(node, lazy=lazy)


def _imported(module: str, *, lazy: bool) -> set[str]:
    """Return the full names of the modules that a module imports."""
    names = set()
    for node in _import_statements(MODULES[module], lazy=lazy):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
            continue
        assert node.level == 0, f"{module}: use absolute imports"
        for alias in node.names:
            submodule = f"{node.module}.{alias.name}"
            names.add(submodule if submodule.removeprefix("ft_toolkit.") in MODULES else node.module)
    return names


def _imported_here(module: str) -> set[str]:
    """Return the modules of this package that a module imports, without the package itself (for its version)."""
    names = _imported(module, lazy=True)
    return {name.removeprefix("ft_toolkit.") for name in names if name.startswith("ft_toolkit.")}


def _heavy_imports(module: str) -> set[str]:
    return {name.partition(".")[0] for name in _imported(module, lazy=False)} & HEAVY


def test_every_module_is_in_a_room():
    rooms = {name.partition(".")[0] for name in MODULES} - TOP_LEVEL
    assert rooms == set(ROOMS)
    assert len(ROOMS) <= 18


@pytest.mark.parametrize("module", sorted(set(MODULES) - TOP_LEVEL))
def test_a_module_imports_from_its_room_and_the_rooms_below(module):
    room = ROOMS.index(module.partition(".")[0])
    for other in _imported_here(module):
        assert ROOMS.index(other.partition(".")[0]) >= room, f"{module} imports {other} from a room above"


def test_there_are_no_import_cycles():
    graph = {module: _imported_here(module) for module in MODULES}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("prefix", LIGHT)
def test_light_rooms_import_no_heavy_library_at_module_level(prefix):
    members = [name for name in MODULES if name == prefix or name.startswith(f"{prefix}.")]
    assert members, f"{prefix} does not exist"
    for module in members:
        assert module in HEAVY_EXCEPTIONS or not _heavy_imports(module), module


@pytest.mark.parametrize(
    "code",
    [
        "import ft_toolkit",
        "import ft_toolkit.recipe.load_recipe, ft_toolkit.data.load_data, ft_toolkit.tasks as tasks; tasks.find_tasks()",
        "import ft_toolkit.training.batching, ft_toolkit.evaluation.compare.comparison, ft_toolkit.cli",
    ],
)
def test_importing_light_modules_loads_no_heavy_library(code):
    code += f"; import sys; print(sorted(set({sorted(HEAVY)}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_is_shadowed_by_a_name_of_its_package():
    """`from .runs import runs` in a package hides the module `runs` behind the function."""
    for package in {name.rpartition(".")[0] for name in MODULES} - {""}:
        submodules = {name.removeprefix(f"{package}.") for name in MODULES if name.rpartition(".")[0] == package}
        bound = {
            alias.asname or alias.name
            for node in _import_statements(MODULES[package], lazy=False)
            if isinstance(node, ast.ImportFrom) and f"ft_toolkit.{package}" != node.module
            for alias in node.names
        }
        defined = {node.name for node in MODULES[package].body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        assert not submodules & (bound | defined), package
