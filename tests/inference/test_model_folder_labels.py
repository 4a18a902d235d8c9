"""A model folder whose files belong to different models is refused."""

import json
import shutil
from pathlib import Path

import pytest

from ft_toolkit.core.errors import ModelError
from ft_toolkit.inference.model_folder import LoadedModel

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
