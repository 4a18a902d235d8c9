"""Export a run of text classification with mean pooling through the ONNX path of setfit.

    pip install --target FOLDER --no-deps sentence-transformers setfit
    PYTHONPATH=FOLDER python benchmarks/peers/setfit_onnx.py RUN OUTPUT.onnx

The body is the encoder of the run with mean pooling, and the head its linear layer, so the graph computes the logits of the
run.
"""

import sys
import tempfile

from sentence_transformers import SentenceTransformer
from setfit import SetFitHead
from setfit.exporters.onnx import export_onnx

import ft_toolkit

OPSET = 14


def main() -> None:
    run, output = sys.argv[1:]
    loaded = ft_toolkit.load(run)
    model = loaded.model.float()
    with tempfile.TemporaryDirectory() as folder:
        model.base_model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
        body = SentenceTransformer(folder, device="cpu", model_kwargs={"attn_implementation": "eager"})
    head = SetFitHead(model.classifier.in_features, model.classifier.out_features, device="cpu")
    head.linear.load_state_dict(model.classifier.state_dict())
    export_onnx(body, head.eval(), OPSET, output)


if __name__ == "__main__":
    main()
