"""The command that repeats the run, and the recipe with all defaults."""

from ft_toolkit.report.run_files import RunFiles
from ft_toolkit.report.section import Section


def _build(run: RunFiles) -> str:
    return run.results.command or ""


SECTION = Section(order=99, title="Repeat this run", build=_build)
