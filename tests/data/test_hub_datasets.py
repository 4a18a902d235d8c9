"""Data sets of the Hub: class labels, and errors without the network."""

import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.hub_datasets import read_hub


def test_without_the_network_the_error_offers_local_files():
    """The tests run with HF_HUB_OFFLINE (see conftest.py), so no request is sent."""
    with pytest.raises(DataError, match=r"'nobody/nothing' \(split train, revision main\) cannot be loaded") as caught:
        read_hub("nobody/nothing", None, None, "train")
    assert str(caught.value).endswith("To work offline, use local files: data.train=FILE data.validation=FILE")
    assert "\n" not in str(caught.value)
