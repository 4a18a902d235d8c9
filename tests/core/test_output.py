"""A training survives a closed or full standard output; other commands end when nobody reads them."""

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
from rich.console import Console
from ft_toolkit.core.output import patient_output
console = Console()
with patient_output():
    for number in range(3000):
        console.print(number)
    print("printed", flush=True)
open({path!r}, "w").write("done")
"""


@pytest.mark.parametrize("output", ["| head -n 1", "> /dev/full", ">&-"])
def test_the_work_goes_on_without_an_output(tmp_path: Path, output: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(CODE.format(path=str(tmp_path / "end")), encoding="utf-8")
    command = f"set -o pipefail; {sys.executable} {script} {output}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "end").read_text() == "done"


@pytest.mark.parametrize(
    ("output", "codes", "errors"),
    [
        ("| (exec <&-; sleep 0.1)", (0, 1), ""),
        (
            "> /dev/full",
            (1,),
            "error: standard output or an open file: No space left on device. The disk is full: free some space\n",
        ),
        (">&-", (0,), ""),
    ],
)
def test_a_list_that_cannot_be_written_ends_without_a_traceback(
    output: str, codes: tuple[int, ...], errors: str
) -> None:
    command = f"{sys.executable} -m ft_toolkit --version {output}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode in codes and done.stderr == errors
