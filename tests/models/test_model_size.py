"""Models that are too large are refused before a library builds them."""

import pytest
import torch

from ft_toolkit.core.errors import ModelError
from ft_toolkit.models.model_size import check_memory, check_numbers


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_size": 10**7}, "found hidden_size=10000000; at most 131072"),
        ({"hidden_size": 768, "vocab_size": 10**12}, "found vocab_size=1000000000000; at most"),
        ({"num_hidden_layers": 10**12}, "found num_hidden_layers=1000000000000; at most 1000"),
        ({"n_layer": -(10**12)}, "found n_layer=-1000000000000"),
        ({"num_labels": 10**7}, "found num_labels=10000000; at most 1000000"),
        ({"pad_token_id": 10**12}, "found pad_token_id=1000000000000"),
        ({"encoder": {"hidden_size": 10**7}}, "found hidden_size=10000000"),
        ({"layers": [{"hidden_size": 10**7}]}, "found hidden_size=10000000"),
    ],
)
def test_a_number_that_no_model_has(values, message):
    with pytest.raises(ModelError, match=f"config.json: {message}"):
        check_numbers("config.json", values)


def test_numbers_of_real_models_are_accepted():
    check_numbers(
        "x", {"hidden_size": 4096, "vocab_size": 250_880, "num_hidden_layers": 96, "max_position_embeddings": 131072}
    )
    check_numbers(
        "x", {"d_model": 1024, "vocab_size": 256_206, "decoder_layers": 12, "use_cache": True, "pad_token_id": -1}
    )


def test_a_model_that_exceeds_the_memory_is_refused_without_building_it():
    with pytest.raises(
        ModelError, match=r"model.config: the model has 10,000 million weights, which need 37.3 GiB in float32"
    ):
        check_memory("model.config", lambda: torch.nn.Linear(10**6, 10**4, bias=False))
    check_memory("model.config", lambda: torch.nn.Linear(10, 10))
