"""Folders of save_to_disk, written with datasets."""

import datasets
import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.local_files import is_file_name, read_file


@pytest.fixture
def dataset():
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    return datasets.Dataset.from_dict({"text": ["x", "y", "z"], "label": [1, 0, -1]}, features=features)


def test_class_labels_are_names(dataset, tmp_path):
    dataset.save_to_disk(tmp_path / "d")
    assert is_file_name(str(tmp_path / "d"))
    assert [row["label"] for row in read_file(tmp_path / "d")] == ["pos", "neg", None]


def test_one_split_of_several_must_be_chosen(dataset, tmp_path):
    datasets.DatasetDict({"train": dataset, "test": dataset}).save_to_disk(tmp_path / "d")
    with pytest.raises(DataError, match="holds a DatasetDict with the splits test, train") as caught:
        read_file(tmp_path / "d")
    assert str(caught.value).endswith(f"data.train={tmp_path}/d/train data.test={tmp_path}/d/test")
    assert len(read_file(tmp_path / "d" / "train")) == 3


def test_a_damaged_folder_is_refused(dataset, tmp_path):
    dataset.save_to_disk(tmp_path / "d")
    next((tmp_path / "d").glob("*.arrow")).write_bytes(b"x")
    with pytest.raises(DataError, match="not a readable folder of save_to_disk"):
        read_file(tmp_path / "d")
