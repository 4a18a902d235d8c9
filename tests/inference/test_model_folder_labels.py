"""A model folder whose files belong to different models is refused."""

import json
import shutil
from pathlib import Path

import pytest

from ft_toolkit.core.errors import ModelError
from ft_toolkit.inference.model_folder import LoadedModel
from ft_toolkit.models.pretrained import read_pretrained

FIXTURE = Path(__file__).parents[1] / "fixtures" / "d305cf2" / "run" / "model"


@pytest.mark.parametrize("change", [-1, 1])
def test_other_labels_than_outputs_are_refused(change: int, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(FIXTURE, folder)
    contract = json.loads((folder / "inference.json").read_text(encoding="utf-8"))
    labels = contract["schema"]["labels"]
    contract["schema"]["labels"] = [*labels, "new"][: len(labels) + change]
    (folder / "inference.json").write_text(json.dumps(contract), encoding="utf-8")
    with pytest.raises(
        ModelError, match=rf"inference.json has {len(labels) + change} labels, but the model has {len(labels)} out"
    ):
        LoadedModel(str(folder))


@pytest.mark.parametrize("value", [[1], None, "x", {}])
def test_a_position_of_a_label_that_is_no_number_is_refused(value: object, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(FIXTURE, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["label2id"] = dict.fromkeys(config["label2id"], value)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match=r"config.json cannot be loaded: .*int\(\)"):
        read_pretrained(folder, None)
