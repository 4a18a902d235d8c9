"""The files of a push have no local paths."""

import json
from pathlib import Path

from ft_toolkit.hub.upload_set import _content


def test_the_base_model_of_an_adapter_has_the_name_that_works_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({"base_model_name_or_path": "/srv/site-packages/minilm/model", "r": 8}))
    content = _content(path, "package:minilm/model")
    assert isinstance(content, bytes)
    assert json.loads(content) == {"base_model_name_or_path": "package:minilm/model", "r": 8}
    path.write_text(json.dumps({"base_model_name_or_path": "owner/model"}))
    assert _content(path, "owner/model") == path
