"""Drawing the rows of an epoch by class: shares, order, batches and the recipe's checks."""

from collections import Counter
from typing import Any

import pytest

from ft_toolkit.core.errors import RecipeError
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.prepare import prepare
from ft_toolkit.training.resampling import class_sizes, draw_features

CLASSES = ["common"] * 81 + ["rare"] * 9 + ["single"]


def test_balanced_gives_equal_and_sqrt_proportional_shares_of_the_same_number_of_rows() -> None:
    counts = Counter(CLASSES)
    assert class_sizes(counts, "balanced") == {"common": 31, "rare": 30, "single": 30}
    assert class_sizes(counts, "sqrt") == {"common": 63, "rare": 21, "single": 7}
    assert class_sizes({"a": 1, "b": 1}, "balanced") == {"a": 1, "b": 1}
    for rule in ("balanced", "sqrt"):
        drawn = draw_features(CLASSES, rule, seed=3, epoch=0)
        assert Counter(CLASSES[i] for i in drawn) == class_sizes(counts, rule)
        assert sum(Counter(CLASSES[i] for i in drawn).values()) == len(CLASSES)


def test_the_rows_of_a_class_repeat_equally_often() -> None:
    times = Counter(draw_features(CLASSES, "balanced", seed=3, epoch=0))
    assert {times[i] for i in range(81)} == {0, 1}
    assert {times[i] for i in range(81, 90)} == {3, 4}
    assert times[90] == 30


def test_a_draw_depends_on_seed_and_epoch_only() -> None:
    draws = [draw_features(CLASSES, "sqrt", seed=seed, epoch=epoch) for seed in (1, 2) for epoch in (0, 1)]
    assert draws[0] == draw_features(CLASSES, "sqrt", seed=1, epoch=0)
    assert len({tuple(draw) for draw in draws}) == 4
    # every row of the largest class is read within a few epochs
    seen = {i for epoch in range(12) for i in draw_features(CLASSES, "balanced", seed=1, epoch=epoch)}
    assert len(seen) == len(CLASSES)


@pytest.mark.parametrize("batching", ["examples_per_batch=8", "tokens_per_batch=256"])
def test_batches_of_an_epoch_hold_the_drawn_rows(batching: str, write_recipe: Any, tmp_path: Any) -> None:
    unset = "training.examples_per_batch=null" if "tokens" in batching else "training.tokens_per_batch=null"
    settings = [unset, f"training.{batching}", "training.resample_classes=balanced", "data.train=TRAIN"]
    path = tmp_path / "uneven.csv"
    rows = [f"{i},a longer text about number {i},{'rare' if i % 10 == 0 else 'common'}" for i in range(40)]
    path.write_text("\n".join(["id,text,label", *rows]) + "\n", encoding="utf-8")
    files = [f"data.{name}={path}" for name in ("train", "validation", "test")]
    loaded = load_recipe(write_recipe(), [*settings[:-1], *files], find_tasks())
    prepared, again = (prepare(loaded, work_folder=tmp_path) for _ in range(2))
    lengths = prepared.features["train"].lengths
    for epoch in range(2):
        batches = prepared.epoch_batches(epoch, 1)
        assert batches == again.epoch_batches(epoch, 1)
        micros = [micro for step in batches for micros in step for micro in micros if micro.weight]
        drawn = [i for micro in micros for i in micro.features]
        assert Counter(prepared.data.splits["train"][i]["label"] for i in drawn) == {"common": 20, "rare": 20}
        assert all(
            "tokens" not in batching or max(lengths[i] for i in m.features) * len(m.features) <= 256 for m in micros
        )
    assert prepared.epoch_batches(0, 1) != prepared.epoch_batches(1, 1)


@pytest.mark.parametrize("task", ["ner", "{name: text_classification, problem_type: multi_label_classification}"])
def test_tasks_without_one_label_per_row_refuse_resampling(task: str, write_recipe: Any) -> None:
    with pytest.raises(RecipeError, match=r"training\.resample_classes.*requires one label per row"):
        load_recipe(write_recipe(), [f"task={task}", "training.resample_classes=sqrt"], find_tasks())
