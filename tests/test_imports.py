"""A module imports only from lower floors, or beside it in its own package; what must stay light imports nothing heavy."""

import ast
import graphlib
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ft_toolkit

PACKAGE = Path(ft_toolkit.__file__).parent

FLOORS = {
    0: ["errors", "shipped", "yaml12", "files", "stop"],
    1: [
        "tasks.base",
        "metrics",
        "metrics.classification",
        "metrics.regression",
        "metrics.bootstrap",
        "metrics.calibration",
        "metrics.squad",
        "metrics.spans",
        "metrics.language",
        "metrics.rouge",
        "metrics.translation",
        "batching",
        "run_list",
        "fresh_process",
        "hub_names",
        "hub_errors",
    ],
    2: ["config", "run_folder", "metrics.offline", "environment", "text", "text.*"],
    3: [
        "recipe_file",
        "ranks",
        "data",
        "data.*",
        "savings",
        "savings.*",
        "tasks",
        "tasks.*",
        "optim",
        "loader",
        "models",
        "stand_in",
    ],
    4: ["new_model", "adapters", "evaluation", "evidence", "evidence.*", "sharding", "train"],
    5: ["checkpoint", "prepare", "tracking", "layer_rates", "scale_plan", "zero"],
    6: [
        "attributions",
        "training_plan",
        "fit_memory",
        "head_start",
        "inference",
        "proof",
        "scoring",
        "report",
        "report.*",
        "doctor",
        "launch",
    ],
    7: ["predict", "trained_model", "finish", "dry_run", "evaluate_model", "staging", "hub_access"],
    8: ["hub", "run"],
    9: ["several"],
    10: ["seeds", "scale"],
    11: ["cli", "cli.*"],
    12: ["__main__", "__init__"],
}
HEAVY = {"torch", "transformers", "datasets", "evaluate", "accelerate", "peft", "sklearn"}
LIGHT = [
    "errors",
    "shipped",
    "yaml12",
    "files",
    "run_folder",
    "launch",
    "sharding",
    "zero",
    "hub_names",
    "hub_errors",
    "staging",
    "hub_access",
    "hub",
    "config",
    "recipe_file",
    "batching",
    "metrics.classification",
    "metrics.regression",
    "metrics.bootstrap",
    "metrics.calibration",
    "metrics.squad",
    "metrics.spans",
    "metrics.language",
    "tasks",
    "metrics.rouge",
    "metrics.translation",
    "tasks.base",
    "tasks.text_classification",
    "data",
    "data.load",
    "data.cards",
    "data.sources",
    "data.share",
    "scale_plan",
    "evidence",
    "evidence.examples",
    "evidence.scores",
    "evidence.slices",
    "evidence.calibration",
    "evidence.groups",
    "evidence.parts",
    "evidence.perturb",
    "evidence.robustness",
    "evidence.by_column",
    "evidence.tests_of_difference",
    "evidence.runs",
    "evidence.compare",
    "evidence.scaling",
    "evidence.gate",
    "report.compare",
    "report.scale",
    "report.gate",
    "cli",
    "cli.shared",
    "cli.recipes",
    "cli.models",
    "cli.machine",
    "cli.runs",
    "cli.scale",
    "run_list",
    "fresh_process",
    "evidence.reference",
    "evidence.word_lists",
    "report.facts",
    "cli.evidence",
    "cli.ci",
]


def modules() -> dict[str, ast.Module]:
    """Return every module of the package by its dotted name below it; a package is named as its folder."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = ast.parse(path.read_text(encoding="utf-8"))
    return found


MODULES = modules()


def floor_of(module: str) -> int:
    """Return a module's floor: the one that names it, else the one that names its folder with a star."""
    for wanted in (module, f"{module.rpartition('.')[0]}.*"):
        for floor, names in FLOORS.items():
            if wanted in names:
                return floor
    pytest.fail(f"ft_toolkit/{module.replace('.', '/')}.py stands on no floor; give it one in tests/test_imports.py")


def statements(tree: ast.AST, *, deep: bool) -> Iterator[ast.stmt]:
    """Yield imports outside `if TYPE_CHECKING:`; with `deep`, also those inside functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif deep or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from statements(node, deep=deep)


def imported(module: str, *, deep: bool) -> set[str]:
    """Return the full names of the modules that a module imports."""
    found = set()
    for node in statements(MODULES[module], deep=deep):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            assert node.level == 0, f"{module}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner.removeprefix("ft_toolkit.") in MODULES else node.module)
    return found


def own(names: set[str]) -> set[str]:
    """Return the names below ft_toolkit; the package itself (for its version) is the ground under the floors."""
    return {name.removeprefix("ft_toolkit.") for name in names if name.startswith("ft_toolkit.")}


def package_of(module: str) -> str:
    """Return the folder that a module stands in, itself for a package's `__init__`."""
    return module if any(name.startswith(f"{module}.") for name in MODULES) else module.rpartition(".")[0]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_lower_floors_or_beside_it_in_its_own_package(module):
    for other in own(imported(module, deep=True)):
        here, there = floor_of(module), floor_of(other)
        beside = here == there and package_of(module) == package_of(other) != ""
        assert there < here or beside, f"{module} (floor {here}) imports {other} (floor {there})"


def test_there_are_no_circles():
    graph = {module: own(imported(module, deep=True)) for module in MODULES}
    graphlib.TopologicalSorter(graph).prepare()


def test_every_floor_names_modules_that_exist():
    folders = {name.rpartition(".")[0] for name in MODULES}
    for name in (name for names in FLOORS.values() for name in names):
        assert name in MODULES or (name.endswith(".*") and name[:-2] in folders), f"{name} is gone"


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_import_nothing_heavy_at_the_top(module):
    roots = {name.partition(".")[0] for name in imported(module, deep=False)}
    assert not roots & HEAVY


def test_task_files_and_what_they_share_are_light():
    for module in MODULES:
        if module.startswith(("tasks.", "text.")):
            assert not {name.partition(".")[0] for name in imported(module, deep=False)} & HEAVY, module


@pytest.mark.parametrize(
    "code",
    [
        "import ft_toolkit",
        "import ft_toolkit.recipe_file, ft_toolkit.data.load; from ft_toolkit.tasks import find_tasks; find_tasks()",
        "import ft_toolkit.batching, ft_toolkit.metrics.classification, ft_toolkit.metrics.bootstrap, ft_toolkit.cli",
    ],
)
def test_what_is_light_leaves_torch_alone(code):
    code += f"; import sys; print(sorted(set({sorted(HEAVY)}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_these_and_each_is_there():
    assert ft_toolkit.__all__ == ["LoadedRecipe", "__version__", "find_tasks", "load", "load_recipe", "run_recipe"]
    for name in ft_toolkit.__all__:
        assert getattr(ft_toolkit, name) is not None
    public = {name for name in vars(ft_toolkit) if not name.startswith("_")}
    helpers = {"Any", "TYPE_CHECKING", "import_module"}
    submodules = {name.partition(".")[0] for name in MODULES}
    assert public <= helpers | submodules | set(ft_toolkit.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        ft_toolkit.nothing  # noqa: B018


def test_no_public_name_is_hidden_by_a_module():
    """`ft_toolkit.run` is the module run.py once anything imported it; a function of that name would vanish behind it."""
    assert not set(ft_toolkit.__all__) & {name.partition(".")[0] for name in MODULES}
    importlib.import_module("ft_toolkit.run")
    assert callable(ft_toolkit.run_recipe)
    assert callable(ft_toolkit.load)
