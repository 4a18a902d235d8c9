"""FSDP2 and ZeRO in two processes over gloo: the losses of one process, and resuming with and without sharding.

A process takes five seconds to start, so there are few runs, and tests share them.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ft_toolkit.core.environment import hidden_variables
from ft_toolkit.core.errors import UsageError
from ft_toolkit.training.distributed.fsdp import Sharding, read_sharding
from ft_toolkit.training.distributed.launch import check_launcher
from ft_toolkit.training.distributed.zero import Zero, read_zero

FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
FTK = [sys.executable, "-m", "ft_toolkit"]
LAUNCHED = [sys.executable, "-m", "accelerate.commands.launch", "--main_process_port", "0", "--config_file"]
CONFIGS = Path(__file__).resolve().parents[3] / "docs" / "launch"
ZERO = {"ACCELERATE_USE_DEEPSPEED": "true"}


def column(folder: Path, name: str) -> list[float]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record[name] for record in map(json.loads, lines) if name in record]


def stop_after(steps: int, folder: Path, *words: object, **environ: str) -> str:
    """Run `ftk WORDS`, send SIGTERM after a number of steps, and return the output."""
    process = subprocess.Popen(
        [*FTK, *map(str, words), "--output", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environ,
    )
    deadline = time.monotonic() + 120
    while not (folder / "metrics.jsonl").is_file() or len(column(folder, "loss")) < steps:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    return output


@pytest.fixture
def recipe(write_recipe: Any) -> Path:
    return write_recipe(
        model__dropout=0.0,
        model__pooling="mean",
        training__num_train_epochs=8,
        training__save_steps=3,
        training__head_start="none",
    )


@pytest.mark.parametrize(
    ("environ", "description"),
    [
        pytest.param(FSDP, "weights, gradients and optimizer state over 2 processes (FSDP2)", id="fsdp"),
        pytest.param(
            ZERO,
            "gradients and optimizer state over 2 processes (DeepSpeed, ZeRO stage 2)",
            id="zero",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_two_sharded_processes_have_the_losses_of_one_which_resumes_their_checkpoint(
    environ: dict[str, str], description: str, recipe: Path, here: Any, tmp_path: Path
) -> None:
    """Full fine-tuning, 2 x (2 micro-batches of 4) examples until SIGTERM, then 16 at once, compared with 16 at once."""
    one, two = tmp_path / "one", tmp_path / "two"
    here("run", recipe, "training.examples_per_batch=16", "--output", one)
    accumulate = "training.gradient_accumulation_steps=2"
    output = stop_after(4, two, "run", recipe, "training.examples_per_batch=4", accumulate, "--processes", 2, **environ)
    assert f"sharding   {description}" in output
    done = len(column(two, "loss"))
    last = max((two / "checkpoints").glob("last*"))
    weights = load_file(last / "weights.safetensors")
    moments = torch.load(last / "optimizer.pt", weights_only=True)["state"]
    assert len(moments) == len(weights)
    assert sorted(state["exp_avg"].shape for state in moments.values()) == sorted(
        weight.shape for weight in weights.values()
    )
    here("run", recipe, "training.examples_per_batch=16", "--output", two, "--resume")
    assert 4 <= done < len(column(two, "loss"))
    for name in ("loss", "grad_norm", "validation_loss"):
        assert column(two, name) == pytest.approx(column(one, name), rel=1e-5), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "description"),
    [("fsdp.yaml", "over 2 processes (FSDP2)"), ("deepspeed.yaml", "over 2 processes (DeepSpeed, ZeRO stage 2)")],
)
def test_sharded_processes_resume_the_adapter_of_one_and_pass_the_reload_check(
    config: str, description: str, recipe: Path, here: Any, tmp_path: Path
) -> None:
    """LoRA, 16 examples until SIGTERM, then 2 processes x 8 examples with the Accelerate config of docs/launch."""
    one, two, words = tmp_path / "one", tmp_path / "two", ["run", recipe, "method=lora", "method.dropout=0.0"]
    words.append("evaluation.baselines=[tfidf, frozen_embeddings]")
    here(*words, "training.examples_per_batch=16", "--output", one)
    stop_after(4, two, *words, "training.examples_per_batch=16")
    n_before = len(column(two, "loss"))
    launched = [*LAUNCHED, CONFIGS / config, "-m", "ft_toolkit", *words, "--output", two, "--resume"]
    done = subprocess.run([*map(str, launched)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert description in done.stdout
    assert "a fresh process loaded the saved model and made the same predictions" in done.stdout
    assert n_before < len(column(two, "loss"))
    for name in ("loss", "grad_norm", "validation_loss"):
        assert column(two, name) == pytest.approx(column(one, name), rel=1e-5), name
    results = [json.loads((folder / "results.json").read_text(encoding="utf-8")) for folder in (one, two)]
    assert results[0]["scores"].keys() == results[1]["scores"].keys()
    first, second = (
        {name: baseline["accuracy"]["value"] for name, baseline in result["scores"]["test"]["baselines"].items()}
        for result in results
    )
    assert first == second and set(first) == {"tfidf", "frozen_embeddings"}


@pytest.mark.slow
@pytest.mark.parametrize("environ", [FSDP, ZERO], ids=["fsdp", "zero"])
def test_sharded_processes_do_not_split_wide_micro_batches(
    environ: dict[str, str], write_recipe: Any, here: Any, tmp_path: Path
) -> None:
    """406 and 214 rows of 64 tokens: more and fewer than fit one pass on a CPU. Both processes take part in every pass."""
    rows = [{"text": "lovely lamp " * 32, "label": ("praise", "question")[i % 2]} for i in range(620)]
    for name, split_rows in (("train", rows), ("validation", rows[:8])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in split_rows), encoding="utf-8")
    recipe = write_recipe(
        model__dropout=0.0,
        data={name: str(tmp_path / f"{name}.jsonl") for name in ("train", "validation")} | {"max_length": 64},
        training={"tokens_per_batch": 26_000, "max_steps": 1, "head_start": "none", "learning_rate": 1e-3},
    )
    whole = here("run", recipe, "-v", "training.tokens_per_batch=52000", "--output", tmp_path / "one")
    assert "passes     at most" in whole.stdout
    words = ["run", recipe, "--processes", "2", "--output", tmp_path / "two"]
    subprocess.run([*FTK, *words], check=True, timeout=120, env=os.environ | environ)
    assert column(tmp_path / "two", "validation_loss") == pytest.approx(column(tmp_path / "one", "validation_loss"))


@pytest.mark.parametrize(("environ", "title"), [(FSDP, "FSDP"), (ZERO, "DeepSpeed")])
def test_one_process_has_nothing_to_shard(
    environ: dict[str, str], title: str, recipe: Path, here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    done = here("run", recipe, "training.max_steps=1", "--output", tmp_path / "alone")
    assert f"{title} has no effect with a single process" in done.stdout
    first = next(iter(environ))
    assert os.environ[first] == "true"
    with hidden_variables():
        assert first not in os.environ


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"FSDP_VERSION": "1"}, "requests FSDP version 1; only version 2 .*set fsdp_version: 2"),
        ({"FSDP_OFFLOAD_PARAMS": "true"}, "FSDP_OFFLOAD_PARAMS=true is not supported"),
        ({"FSDP_ACTIVATION_CHECKPOINTING": "true"}, "FSDP_ACTIVATION_CHECKPOINTING=true is not supported"),
        ({"FSDP_RESHARD_AFTER_FORWARD": "FULL_SHARD"}, "allowed with FSDP version 2: true, false"),
    ],
)
def test_unsupported_settings_of_fsdp_are_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_launcher(FSDP | environ, processes=2, mixed_precision="no", max_grad_norm=1.0)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}, "stage 3, .* use distributed_type FSDP with fsdp_version 2"),
        ({"ACCELERATE_DEEPSPEED_ZERO_STAGE": "0"}, "stage 0, which shards nothing: use .*MULTI_GPU"),
        ({"ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": "cpu"}, "OFFLOAD_PARAM_DEVICE=cpu is not supported"),
        (
            {"ACCELERATE_GRADIENT_CLIPPING": "0.5"},
            r"clipping to 0.5, but the recipe has training.max_grad_norm=1.0",
        ),
        ({"ACCELERATE_DEEPSPEED_CONFIG_FILE": "nowhere.json"}, "nowhere.json: cannot read this DeepSpeed config"),
    ],
)
def test_unsupported_settings_of_deepspeed_are_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_launcher(ZERO | environ, processes=2, mixed_precision="no", max_grad_norm=1.0)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("[]", "must be a JSON object"),
        ('{"zero_optimization": true}', "zero_optimization must be a JSON object"),
        (
            '{"zero_optimization": {"stage": 2}, "optimizer": {"type": "Adam"}}',
            "optimizer: the recipe sets the training",
        ),
        (
            '{"zero_optimization": {"stage": 2}, "train_batch_size": 32}',
            "train_batch_size: the recipe sets the training",
        ),
        (
            '{"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}}',
            "offloading is not supported",
        ),
        ('{"zero_optimization": {"stage": 2}, "gradient_clipping": 5.0}', "clipping to 5.0"),
        ('{"zero_optimization": {"stage": "auto"}}', "stage 0, which shards nothing"),
    ],
)
def test_unsupported_settings_of_a_deepspeed_file_are_refused(config: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "deepspeed.json"
    path.write_text(config, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        read_zero(ZERO | {"ACCELERATE_DEEPSPEED_CONFIG_FILE": str(path)}, 1.0)


def test_the_settings_of_a_deepspeed_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "deepspeed.json"
    config = {
        "zero_optimization": {
            "stage": 1,
            "overlap_comm": False,
            "reduce_bucket_size": "auto",
            "offload_optimizer": {"device": "none"},
        },
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": False},
        "gradient_clipping": 1.0,
        "train_batch_size": "auto",
    }
    path.write_text(json.dumps(config), encoding="utf-8")
    assert read_zero(ZERO | {"ACCELERATE_DEEPSPEED_CONFIG_FILE": str(path)}, 1.0) == Zero(1, {"overlap_comm": False})
    assert read_zero({}, 1.0) == Zero()
    assert read_zero(ZERO, None) == Zero(2)


def test_without_deepspeed_the_message_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"not installed; run: pip install 'ft-toolkit\[deepspeed\]'"):
        read_zero(ZERO, 1.0)


def test_the_fsdp_settings_are_read() -> None:
    assert read_sharding({}) == read_sharding({"ACCELERATE_USE_FSDP": "false"}) == Sharding()
    assert read_sharding(FSDP) == Sharding(is_requested=True)
    expected = Sharding(is_requested=True, reshard_after_forward=False)
    assert read_sharding(FSDP | {"FSDP_RESHARD_AFTER_FORWARD": "false"}) == expected
