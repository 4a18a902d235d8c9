"""The files that run the server elsewhere, checked by the tools for them where these are installed."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from serve_process import TOKEN, Running
from small_export import write_export

from ft_toolkit.core.errors import UsageError
from ft_toolkit.serve.options import ModelSource
from ft_toolkit.serve.write_deployment import Deployment, write_deployment


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files for two models; the path of one has characters with a meaning in systemd."""
    folder = tmp_path_factory.mktemp("deployment")
    models = [ModelSource(name, str(write_export(folder / path, 1))) for name, path in (("a", "a"), ("b", "50% $b;"))]
    write_deployment(Deployment(tuple(models), ["--max-rows", "4"], 9001, 20), folder / "deploy")
    return folder / "deploy"


def test_the_files_name_models_port_and_options(written: Path) -> None:
    docker = (written / "Dockerfile").read_text(encoding="utf-8")
    entry = json.loads(docker.rpartition("ENTRYPOINT ")[2])
    options = ["--host", "0.0.0.0", "--port", "9001", "--max-rows", "4"]
    assert entry == ["ftk", "serve", "a=/models/a", "b=/models/b", *options]
    assert "--no-deps" in docker and "torch" not in (written / "requirements.txt").read_text(encoding="utf-8")
    unit = (written / "ftk-serve.service").read_text(encoding="utf-8")
    command = unit.partition("ExecStart=")[2].partition("\n")[0]
    plain = [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(command)]
    assert plain[1:5] == ["-m", "ft_toolkit", "serve", f"a={written.parent / 'a'}"]
    assert plain[5] == f"b={written.parent / '50% $b;'}" and "TimeoutStopSec=30" in unit
    manifests = list(yaml.safe_load_all((written / "kubernetes.yaml").read_text(encoding="utf-8")))
    assert [each["kind"] for each in manifests] == ["Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"]
    (container,) = manifests[0]["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": 9001}]
    for file in ("Dockerfile", "ftk-serve.service", "kubernetes.yaml"):
        assert "@" not in (written / file).read_text(encoding="utf-8")
    assert not list(written.rglob("predictions.jsonl"))


def test_what_another_machine_cannot_load_is_refused(written: Path, tmp_path: Path) -> None:
    missing = Deployment((ModelSource("a", str(tmp_path)),), [], 1, 1)
    with pytest.raises(UsageError, match="not the folder of a finished run or model"):
        write_deployment(missing, tmp_path / "new")
    with pytest.raises(UsageError, match="exists and is not an empty folder"):
        write_deployment(missing, written)
    model = write_export(tmp_path / "adapter", 1)
    contract = json.loads((model / "model" / "inference.json").read_text(encoding="utf-8"))
    contract["base_model"] = {"name": "bert", "sha256": None}
    (model / "model" / "inference.json").write_text(json.dumps(contract), encoding="utf-8")
    with pytest.raises(UsageError, match=r"ftk export .* --format transformers"):
        write_deployment(Deployment((ModelSource("a", str(model)),), [], 1, 1), tmp_path / "new")


@pytest.mark.parametrize(
    "command",
    [
        ["systemd-analyze", "verify", "ftk-serve.service"],
        ["hadolint", "Dockerfile"],
        ["kubernetes-validate", "--strict", "kubernetes.yaml"],
    ],
    ids=lambda command: command[0],
)
def test_their_own_tools_accept_the_files(written: Path, command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, cwd=written, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_copied_models_can_be_served_on_all_addresses(written: Path) -> None:
    with Running(f"a={written / 'models' / 'a'}", "--host", "0.0.0.0", token=TOKEN) as server:
        assert server.predict("a", "good")[0] == 200
        assert server.send("GET", "/models", authorization="")[0] == 401
