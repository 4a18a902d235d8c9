"""A plain server of a classifier: FastAPI and a transformers pipeline, as its documentation shows.

python benchmarks/peers/pipeline_server.py MODEL_FOLDER PORT
"""

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from transformers import pipeline

folder, port = sys.argv[1], int(sys.argv[2])
classify = pipeline("text-classification", model=folder, tokenizer=folder, device="cpu", truncation=True)
app = FastAPI()


@app.post("/predict")
def predict(body: dict[str, Any]) -> dict[str, Any]:
    """Predict a text. FastAPI calls a plain function in a thread."""
    return dict(classify(body["text"])[0])


uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
