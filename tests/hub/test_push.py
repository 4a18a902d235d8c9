"""ftk push: what is uploaded, once and for all; branches, tags, pull requests, merged adapters."""

import json
import shutil

import pytest
import yaml
from huggingface_hub import ModelCard
from minihub import card_errors

from ft_toolkit import load
from ft_toolkit.hub.upload_set import collect_files, find_run

# Requests that carry contents to a Hub.
UPLOADS = ("/_lfs/", "/_cas/v1/xorbs", "/commit/")


def uploads(hub):
    return [one.path for one in hub.log if one.method in ("POST", "PUT") and any(part in one.path for part in UPLOADS)]


def test_a_push_uploads_the_model_once_and_a_second_one_nothing(ftk, server, full_run):
    done = ftk("push", full_run, "alice/demo", "--tag", "v1")
    assert (done.returncode, done.stderr) == (0, "")
    repo = server.hub.repos["model", "alice/demo"]
    commit = repo.refs["refs/heads/main"]
    assert done.stdout.splitlines()[-2] == f"pushed: {server.url}/alice/demo at commit {commit}"
    assert repo.private and repo.refs["refs/tags/v1"] == commit and len(repo.titles) == 2
    assert set(repo.files()) == {".gitattributes", "recipe.yaml", "results.json"} | {
        path.name for path in (full_run / "model").iterdir() if path.name != "training_rows.npz"
    }
    weights = (full_run / "model" / "model.safetensors").read_bytes()
    assert server.hub.content("alice/demo", "model.safetensors") == weights

    server.hub.log.clear()
    again = ftk("push", full_run, "alice/demo", "--tag", "v1")
    assert again.returncode == 0
    assert again.stdout.splitlines()[-2].startswith(f"nothing has changed: {server.url}/alice/demo")
    assert repo.refs["refs/heads/main"] == commit and uploads(server.hub) == []


def test_the_card_of_the_repository_is_valid_and_says_how_to_use_it(ftk, server, full_run):
    assert ftk("push", full_run, "alice/demo").returncode == 0
    text = server.hub.content("alice/demo", "README.md").decode()
    assert card_errors(text) == []
    card = ModelCard(text)
    assert (card.data.license, card.data.language, card.data.pipeline_tag) == ("mit", ["en"], "text-classification")
    assert card.data.model_name == "demo" and len(card.data.eval_results) > 2
    assert 'ftk predict alice/demo "A text."' in text and 'ft_toolkit.load("alice/demo")' in text
    assert 'model="alice/demo"' in text and "MODEL" not in text
    assert "The licence of this model is `mit`" in text


def test_no_path_of_this_disk_is_uploaded(ftk, server, full_run, data_files, tiny_bert):
    assert ftk("push", full_run, "alice/demo").returncode == 0
    for name in server.hub.repos["model", "alice/demo"].files():
        content = server.hub.content("alice/demo", name)
        assert str(full_run.parent).encode() not in content, name
        assert str(tiny_bert).encode() not in content, name
        assert data_files["train"].encode() not in content, name
    recipe = yaml.safe_load(server.hub.content("alice/demo", "recipe.yaml"))
    assert recipe["data"]["train"] == "train.jsonl" and recipe["model"]["name"].startswith("local folder ")
    results = json.loads(server.hub.content("alice/demo", "results.json"))
    assert results["command"] == "ftk run tiny.yaml --output run"
    assert results["scores"] == json.loads((full_run / "results.json").read_text())["scores"]


def test_a_dry_run_lists_the_files_and_sends_nothing(ftk, server, full_run):
    done = ftk("push", full_run, "alice/demo", "--dry-run", token=None)
    assert done.returncode == 0
    assert "model.safetensors" in done.stdout and done.stdout.rstrip().endswith("to alice/demo; nothing was uploaded")
    assert server.hub.log == []


def test_a_smoke_run_is_pushed_with_a_warning(ftk, server, full_run, tmp_path):
    smoke = tmp_path / "smoke"
    shutil.copytree(full_run, smoke)
    results = json.loads((smoke / "results.json").read_text())
    (smoke / "results.json").write_text(json.dumps(results | {"substitutions": ["a tiny model"]}))
    assert "warning: this is a smoke run" in ftk("push", smoke, "alice/demo", "--dry-run", token=None).stdout
    assert "warning" not in ftk("push", full_run, "alice/demo", "--dry-run", token=None).stdout


@pytest.fixture
def changed_run(full_run, tmp_path):
    """The run with another licence in its card."""
    shutil.copytree(full_run, tmp_path / "changed")
    text = (full_run / "recipe.yaml").read_text(encoding="utf-8")
    (tmp_path / "changed" / "recipe.yaml").write_text(
        text.replace("license: mit", "license: apache-2.0"), encoding="utf-8"
    )
    return tmp_path / "changed"


def test_a_branch_is_made_and_a_tag_is_never_moved(ftk, server, full_run, changed_run):
    assert ftk("push", full_run, "acme/demo", "--revision", "dev", "--tag", "v1", "--public").returncode == 0
    repo = server.hub.repos["model", "acme/demo"]
    assert not repo.private and repo.files() == [".gitattributes"] and "model.safetensors" in repo.files("dev")
    before = dict(repo.refs)
    done = ftk("push", changed_run, "acme/demo", "--tag", "v1")
    assert done.returncode == 2 and "the tag v1 already belongs to commit" in done.stderr
    assert repo.refs == before


def test_a_pull_request_needs_no_right_to_write_and_is_opened_once(ftk, server, full_run, changed_run):
    assert ftk("push", full_run, "alice/demo", "--public").returncode == 0
    repo = server.hub.repos["model", "alice/demo"]
    main = repo.refs["refs/heads/main"]
    for said in ("pushed: ", "nothing has changed: "):
        done = ftk("push", changed_run, "alice/demo", "--pull-request", token="hf_bob")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-2].startswith(f"{said}{server.url}/alice/demo/discussions/1 ")
    assert list(repo.pull_requests) == [1] and repo.refs["refs/heads/main"] == main
    assert b"license: apache-2.0" in server.hub.content("alice/demo", "README.md", "refs/pr/1")


@pytest.mark.parametrize("mode", ["xet"], indirect=True)
def test_merged_weights_take_the_place_of_what_was_there(ftk, server, lora_run, tmp_path):
    refused = ftk("push", lora_run, "alice/demo")
    assert refused.returncode == 2 and "Push merged weights with --merged" in refused.stderr
    assert server.hub.repos == {}
    old = {
        "adapter_config.json": b"{}",
        "adapter_model.safetensors": b"x",
        "base_config/config.json": b"{}",
        "a.txt": b"1",
    }
    server.hub.put("model", "alice/demo", old)
    assert ftk("push", lora_run, "alice/demo", "--merged").returncode == 0
    files = server.hub.repos["model", "alice/demo"].files()
    assert (
        "model.safetensors" in files
        and "a.txt" in files
        and not any("adapter" in name or "base_config" in name for name in files)
    )
    assert json.loads(server.hub.content("alice/demo", "inference.json"))["base_model"] is None
    card = ModelCard(server.hub.content("alice/demo", "README.md").decode())
    assert card.data.library_name == "transformers" and "The adapter is merged into the weights" in card.text
    (tmp_path / "pulled").mkdir()
    for name in files:
        (tmp_path / "pulled" / name).write_bytes(server.hub.content("alice/demo", name))
    texts = ["good lamp", "broken lamp", "when does the lamp come"]
    for one, other in zip(load(lora_run)(texts), load(tmp_path / "pulled")(texts), strict=True):
        assert one["label"] == other["label"] and one["probabilities"] == pytest.approx(
            other["probabilities"], abs=1e-5
        )
    again = ftk("push", lora_run, "alice/demo", "--merged")
    assert again.stdout.splitlines()[-2].startswith("nothing has changed")


@pytest.mark.parametrize("mode", ["lfs"], indirect=True)
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["demo"], "found 'demo'; the owner is missing: owner/demo"),
        (["alice/a--b"], "found 'alice/a--b'; a Hub id is required"),
        (["alice/demo", "--tag", "a b"], "found 'a b'; the name of a branch or tag is required"),
        (["alice/demo", "--pull-request", "--tag", "v1"], "--pull-request proposes a change of main"),
    ],
)
def test_wrong_names_are_refused_before_anything_is_sent(ftk, server, full_run, words, said):
    done = ftk("push", full_run, *words)
    assert done.returncode == 2 and said in done.stderr
    assert server.hub.log == []


@pytest.mark.parametrize("mode", ["lfs"], indirect=True)
def test_only_a_finished_run_can_be_pushed(ftk, full_run, tmp_path):
    for folder, said in (
        (tmp_path, "a finished run folder of 'ftk run' is required"),
        (full_run / "model", f"run folder: {full_run}"),
    ):
        done = ftk("push", folder, "alice/demo")
        assert done.returncode == 2 and said in done.stderr


def test_of_several_seeds_the_best_is_pushed(full_run, tmp_path):
    shutil.copytree(full_run, tmp_path / "seed_2")
    best = {"seed": 2, "folder": "seed_2", "model": "seed_2/model", "chosen_by": "validation accuracy", "value": 0.9}
    spread = {"mean": 0.85, "sd": 0.07, "min": 0.8, "max": 0.9, "n": 2}
    results = json.loads((full_run / "results.json").read_text())
    results |= {"kind": "seeds", "seeds": [1, 2], "best": best, "runs": [], "seconds": 2.0}
    results["scores"] = {"test": {"n": 8, "metrics": {"accuracy": spread}}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert find_run(tmp_path) == tmp_path / "seed_2"
    files = collect_files(find_run(tmp_path), "alice/demo")
    assert files["model.safetensors"] == tmp_path / "seed_2" / "model" / "model.safetensors"
