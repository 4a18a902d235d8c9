"""`data.hub`: data sets of a Hub on loopback, and of the cache."""

import json

import pytest
import yaml

# Small text files travel in the same way with and without Xet.
pytestmark = pytest.mark.parametrize("mode", ["lfs"], indirect=True)

ROWS = [
    {"review": f"{word} {i}", "label": label} for word, label in (("good", "pos"), ("bad", "neg")) for i in range(4)
]
CONFIGS = """\
---
configs:
- {config_name: small, data_files: [{split: train, path: train.jsonl}, {split: dev, path: dev.jsonl}]}
- {config_name: large, data_files: train.jsonl}
---
"""
SPLITS = """\
---
configs:
- config_name: default
  data_files: [{split: train, path: train.jsonl}, {split: dev, path: dev.jsonl}, {split: extra, path: extra.jsonl}]
---
"""
# Loads the rows of a `data:` section and prints them, or the error.
LOAD = """\
import json, sys
from ft_toolkit.core.errors import DataError
from ft_toolkit.data.load_data import load_data
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import find_tasks
columns = {"text": "review"}
for section in json.loads(sys.argv[1]):
    try:
        data = load_data(DataSection(hub="alice/reviews", columns=columns, **section), find_tasks()["text_classification"])
        sizes = {name: len(rows) for name, rows in data.splits.items()}
        print(json.dumps([sizes, data.origin["train"], data.commit, data.card.block.source.hub]))
    except DataError as error:
        print(error)
"""


@pytest.fixture
def put(server):
    """Return a function that makes rows (jsonl), and a card, the data set alice/reviews, and returns the commit."""

    def put(readme=None, **splits):
        files = {f"{name}.jsonl": "".join(json.dumps(row) + "\n" for row in rows) for name, rows in splits.items()}
        files |= {} if readme is None else {"README.md": readme}
        return server.hub.put("dataset", "alice/reviews", {name: text.encode() for name, text in files.items()})

    return put


@pytest.fixture
def load(python):
    """Return a function that loads the data set with each of some settings, and returns a line for each."""
    return lambda *sections, **more: python("-c", LOAD, json.dumps(sections), **more).stdout.strip().split("\n")


def test_splits_by_their_usual_names_or_as_set_and_offline_from_the_cache(put, load):
    commit = put(SPLITS, train=ROWS, dev=ROWS[2:6], extra=ROWS[:4])
    sections = [{}, {"validation_fraction": 0.5}, {"train": "extra", "validation": "train"}, {"train": "trian"}]
    usual, held_out, chosen, wrong = load(*sections)
    assert json.loads(usual) == [{"train": 8, "validation": 4}, "alice/reviews (train)", commit, "alice/reviews"]
    assert sum(json.loads(held_out)[0].values()) == 8
    assert json.loads(chosen)[:2] == [{"train": 4, "validation": 8}, "alice/reviews (extra)"]
    assert (
        wrong.startswith("data set 'alice/reviews' has no split 'trian'; allowed: ") and "Did you mean 'train'" in wrong
    )
    (offline,) = load({}, HF_HUB_OFFLINE="1")
    assert json.loads(offline)[:2] == json.loads(usual)[:2]
    (missing,) = load({}, HF_HUB_OFFLINE="1", home="other")
    assert missing.startswith("data set 'alice/reviews' (revision main) cannot be loaded from the Hub or the cache: ")


def test_a_config_must_be_chosen_where_there_are_several(put, load):
    put(CONFIGS, train=ROWS, dev=ROWS[2:6])
    none, small, large = load({}, {"hub_config": "small"}, {"hub_config": "large", "validation_fraction": 0.5})
    assert none == (
        "data set 'alice/reviews' has several configs; set one: data.hub_config=NAME, with NAME one of 'small', 'large'"
    )
    assert json.loads(small)[0] == {"train": 8, "validation": 4} and sum(json.loads(large)[0].values()) == 8


@pytest.mark.slow
def test_a_run_names_the_data_set_in_its_results_and_its_card(put, ftk, recipe_values, tmp_path):
    commit = put(train=ROWS * 4, dev=ROWS, test=ROWS)
    data = {"hub": "alice/reviews", "columns": {"text": "review"}, "max_length": 64}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({**recipe_values, "data": data}), encoding="utf-8")
    done = ftk("run", "r.yaml", "--output", "run")
    assert done.returncode == 0, done.stderr
    assert f"8 validation, 8 test examples of alice/reviews at commit {commit[:12]}" in done.stdout
    facts = json.loads((tmp_path / "run/results.json").read_text())["data"]
    assert (facts["hub"], facts["commit"]) == ("alice/reviews", commit)
    front = yaml.safe_load((tmp_path / "run/README.md").read_text().split("---\n")[1])
    assert front["datasets"] == ["alice/reviews"]
    smoke = ftk("run", "r.yaml", "--smoke", "--output", "smoke", HF_HUB_OFFLINE="1", home="other")
    assert "sample rows of the task instead of the rows on the Hub" in smoke.stdout


@pytest.mark.parametrize("name", ["train.jsonl", pytest.param("train.parquet", marks=pytest.mark.slow)])
def test_a_file_whose_content_differs_from_its_hash_is_refused_and_not_kept(server, put, load, name):
    """The same number of bytes with another letter, in a small file (Git) or in a large one (LFS)."""
    if name == "train.jsonl":
        put(train=ROWS)
    else:
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), table)
        server.hub.put("dataset", "alice/reviews", {name: table.getvalue().to_pybytes()})
    entry = server.hub.repos["dataset", "alice/reviews"].resolve("main")["tree"][name]
    blob = server.hub.path(entry.get("sha256") or entry["oid"])
    content = blob.read_bytes()
    blob.write_bytes(content.replace(b"good 0", b"evil 0"))
    section = {"validation_fraction": 0.5}
    refused = load(section, section)  # the second time, nothing comes from the cache
    assert len(refused) == 2
    assert all(f"{name}: the content has the hash" in line and "the Hub announced" in line for line in refused), refused
    blob.write_bytes(content)
    (accepted,) = load(section)
    assert sum(json.loads(accepted)[0].values()) == 8
