import datasets
import pytest

from ft_toolkit.data.class_labels import label_names, names_of_classes

TAGS = datasets.ClassLabel(names=["O", "B-X"])


def in_json(feature):
    return datasets.Features({"column": feature}).to_dict()["column"]


def test_class_labels_become_names():
    tags = in_json(TAGS)
    assert label_names(1, tags) == "B-X" and label_names(-1, tags) is None and label_names(None, tags) is None
    assert label_names(7, tags) == 7, "a number without a name stays, and is refused later"


@pytest.mark.parametrize("feature", [datasets.Sequence(TAGS), datasets.List(TAGS), datasets.LargeList(TAGS), [TAGS]])
def test_lists_of_class_labels_become_names(feature):
    feature = in_json(feature)
    assert names_of_classes(feature) == ("O", "B-X")
    assert label_names([0, 1, -1], feature) == ["O", "B-X", None] and label_names(None, feature) is None
    assert label_names([-1, -1], feature) is None and label_names([], feature) == []


@pytest.mark.parametrize(
    "feature",
    [datasets.Sequence(datasets.Value("int64")), datasets.Value("string"), {"names": datasets.Value("string")}],
)
def test_other_features_stay(feature):
    for value in ([3, 4], "x", {"names": "y"}):
        assert label_names(value, in_json(feature)) == value
