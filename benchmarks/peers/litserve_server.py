"""A server of a classifier with LitServe: a transformers pipeline with its dynamic batching.

python benchmarks/peers/litserve_server.py MODEL_FOLDER PORT
"""

import sys
from collections.abc import Sequence
from typing import Any

import litserve


class Classifier(litserve.LitAPI):
    """Batches of texts for a pipeline."""

    def setup(self, device: str) -> None:
        """Load the model in the worker."""
        from transformers import pipeline

        folder = sys.argv[1]
        self.classify = pipeline("text-classification", model=folder, tokenizer=folder, device="cpu", truncation=True)

    def decode_request(self, request: dict[str, Any]) -> str:
        """Return the text of a request."""
        return str(request["text"])

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Predict a batch."""
        return list(self.classify(list(texts), batch_size=len(texts)))

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Return the body of a response."""
        return dict(output)


if __name__ == "__main__":
    api = Classifier(max_batch_size=16, batch_timeout=0.002)
    litserve.LitServer(api, accelerator="cpu").run(
        host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", generate_client_file=False, access_log=False
    )
