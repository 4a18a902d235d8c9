"""ftk run from and to the Hub: pinned revisions, checks before training, a push at the end; and what pulls it back."""

import json
from pathlib import Path

import pytest
import yaml
from minihub import Fault

CARD = """\
---
pretty_name: Tiny
license: cc0-1.0
language: [en]
ft_toolkit:
  source: {hub: somebody/tiny}
  splits:
    train: {rows: 32}
    validation: {rows: 8}
    test: {rows: 8}
  tasks:
    text_classification:
      columns: {text: text, label: label}
---
"""
pytestmark = pytest.mark.parametrize("mode", ["xet"], indirect=True)


@pytest.fixture
def recipe(server, recipe_values, data_files, tiny_bert, tmp_path):
    """A recipe whose model and rows are on the Hub; it pushes there."""
    server.hub.put("model", "somebody/tiny-bert", {path.name: path.read_bytes() for path in Path(tiny_bert).iterdir()})
    server.hub.put("dataset", "somebody/tiny", {Path(p).name: Path(p).read_bytes() for p in data_files.values()})
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "README.md").write_text(CARD, encoding="utf-8")
    values = recipe_values | {
        "model": {"name": "somebody/tiny-bert"},
        "data": {"card": "card", "max_length": 64},
        "method": "lora",
        "hub": {"license": "mit", "push": True, "repo": "alice/pushed"},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return "tiny.yaml"


def test_from_the_hub_to_the_hub_and_back(ftk, server, recipe, tmp_path):
    """One command reads model and rows at a commit, trains, and pushes; another machine predicts the same, then offline."""
    done = ftk("run", recipe, "--output", "run")
    assert done.returncode == 0, done.stderr
    commits = {key: repo.refs["refs/heads/main"] for key, repo in server.hub.repos.items()}
    model, data = commits["model", "somebody/tiny-bert"], commits["dataset", "somebody/tiny"]
    assert f"somebody/tiny-bert at commit {model}" in done.stdout
    assert f"somebody/tiny at commit {data}" in done.stdout
    assert "hub        alice pushes to alice/pushed (private, created now)" in done.stdout
    assert done.stdout.rstrip().endswith(
        f"pushed: {server.url}/alice/pushed at commit {commits['model', 'alice/pushed']}"
    )
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert (environment["model"]["commit"], environment["data"]["commit"]) == (model, data)

    def pushed(name):
        return server.hub.content("alice/pushed", name).decode()

    card = yaml.safe_load(pushed("README.md").split("---")[1])
    assert card["base_model"] == "somebody/tiny-bert" and card["base_model_relation"] == "adapter"
    assert (card["datasets"], card["language"], card["license"]) == (["somebody/tiny"], ["en"], "mit")
    assert yaml.safe_load(pushed("recipe.yaml"))["model"] == {
        **yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())["model"],
        "revision": model,
    }
    (entry,) = yaml.safe_load(pushed(".eval_results/somebody_tiny.yaml"))
    assert entry["dataset"] == {"id": "somebody/tiny", "task_id": "default", "revision": data}
    scores = json.loads((tmp_path / "run" / "results.json").read_text())["scores"]
    assert entry["value"] == scores["test"]["metrics"]["accuracy"]["value"] and "95% interval" in entry["notes"]

    asked = ["--input", str(tmp_path / "rows.txt")]
    (tmp_path / "rows.txt").write_text("good lamp\nbroken lamp\n", encoding="utf-8")
    here = ftk("predict", "run", *asked)
    there = ftk("predict", "alice/pushed", *asked, home="elsewhere")
    assert here.returncode == there.returncode == 0, there.stderr
    assert here.stdout == there.stdout and len(here.stdout.splitlines()) == 2
    server.stop()
    offline = ftk(
        "predict", f"alice/pushed@{commits['model', 'alice/pushed']}", *asked, home="elsewhere", HF_HUB_OFFLINE="1"
    )
    assert offline.stdout == here.stdout, offline.stderr


def test_a_push_that_fails_leaves_a_finished_run_and_the_command_that_pushes_it(ftk, server, recipe):
    server.hub.faults.append(Fault("/commit/", times=99, status=503))
    done = ftk("run", recipe, "--output", "run", "hub.private=false")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: alice/pushed: the Hub is down or overloaded (status 503)",
        "The run in run is complete. Push it again with: ftk push run alice/pushed --public",
    ]
    assert "Reload check passed" in done.stdout  # the results are shown all the same
    server.hub.faults.clear()
    assert ftk("push", "run", "alice/pushed", "--public").returncode == 0


@pytest.mark.parametrize(
    ("token", "setting", "said"),
    [
        ("hf_reader", "hub.private=true", "the token of alice is read-only"),
        # which this Hub does not know
        ("hf_alice", "hub.license=wtfpl", 'the Hub rejected the metadata of the model card: "license" must be one of'),
    ],
)
def test_what_would_stop_the_push_stops_the_run_before_training(ftk, recipe, tmp_path, token, setting, said):
    done = ftk("run", recipe, "--output", "run", setting, token=token)
    assert done.returncode == 2 and said in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_finished_run_that_was_not_pushed_is_pushed_by_resuming(ftk, server, recipe, full_run, tmp_path):
    """The command was killed between the end of the run and the push."""
    words = [
        "run",
        full_run.parent / "tiny.yaml",
        "--output",
        full_run,
        "--resume",
        "hub.push=true",
        "hub.repo=alice/late",
    ]
    done = ftk(*words)
    assert done.returncode == 0, done.stderr
    assert "is already finished" in done.stdout and f"pushed: {server.url}/alice/late" in done.stdout
    weights = (full_run / "model" / "model.safetensors").read_bytes()
    assert server.hub.content("alice/late", "model.safetensors") == weights
