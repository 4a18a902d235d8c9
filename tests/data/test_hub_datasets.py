"""Data sets of the Hub: class labels, and errors without the network."""

import datasets
import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.hub_datasets import label_names, read_hub


def test_class_labels_become_names():
    tags = datasets.ClassLabel(names=["O", "B-X"])
    assert label_names(1, tags) == "B-X" and label_names(-1, tags) is None and label_names(None, tags) is None
    for feature in (datasets.Sequence(tags), datasets.List(tags), datasets.LargeList(tags)):
        assert label_names([0, 1, -1], feature) == ["O", "B-X", None] and label_names(None, feature) is None
    assert label_names([3, 4], datasets.Sequence(datasets.Value("int64"))) == [3, 4]
    assert label_names("x", datasets.Value("string")) == "x"


def test_without_the_network_the_error_offers_local_files():
    """The tests run with HF_HUB_OFFLINE (see conftest.py), so no request is sent."""
    with pytest.raises(DataError, match=r"'nobody/nothing' \(split train, revision main\) cannot be loaded") as caught:
        read_hub("nobody/nothing", None, None, "train")
    assert str(caught.value).endswith("To work offline, use local files: data.train=FILE data.validation=FILE")
    assert "\n" not in str(caught.value)
