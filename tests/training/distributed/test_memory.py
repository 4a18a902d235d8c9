"""Two processes, of which one has too little memory for its micro-batch: both make more and smaller passes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.run_records import read_run_results

FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
ZERO = {"ACCELERATE_USE_DEEPSPEED": "true"}
# Runs `ftk` with a limit on the addresses of the second process. Threads and libraries have theirs before the limit is set.
LIMITED = """
import os, resource, sys
from pathlib import Path
from ft_toolkit.cli.app import main
from ft_toolkit.cli.libraries import load_libraries
load_libraries()
if os.environ["RANK"] == "1":
    import deepspeed
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 900 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
main()
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to a limit on its addresses"),
]


@pytest.mark.parametrize("environ", [FSDP, ZERO], ids=["fsdp", "zero"])
def test_processes_agree_on_smaller_passes_with_the_same_loss(
    environ: dict[str, str], write_recipe: Any, here: Any, tmp_path: Path
) -> None:
    rows = [{"text": "lovely lamp " * 32, "label": ("praise", "question")[i % 2]} for i in range(6000)]
    for name, split_rows in (("train", rows), ("validation", rows[:8])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in split_rows), encoding="utf-8")
    recipe = write_recipe(
        model__dropout=0.0,
        data={name: str(tmp_path / f"{name}.jsonl") for name in ("train", "validation")} | {"max_length": 64},
        training={"examples_per_batch": 3000, "max_steps": 2, "head_start": "none", "learning_rate": 1e-3},
    )
    here("run", recipe, "training.examples_per_batch=6000", "--output", tmp_path / "one")
    script = tmp_path / "limited.py"
    script.write_text(LIMITED, encoding="utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    words = ["run", str(recipe), "--output", str(tmp_path / "two")]
    done = subprocess.run([*launcher, *words], capture_output=True, text=True, timeout=300, env=os.environ | environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"memory     micro-batches are split into \d+ passes", done.stdout), done.stdout
    losses = [read_run_results(tmp_path / name).training.evaluations[-1].validation_loss for name in ("one", "two")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
