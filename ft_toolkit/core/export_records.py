"""The records of an exported model: the graph in inference.json, the export in results.json, and certificate.json."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from ft_toolkit.core.json_records import FileRecord, Record, read_record, write_record
from ft_toolkit.core.run_folder import CERTIFICATE

# `transformers` is a plain folder of the transformers library; the other formats are a graph for onnxruntime.
ExportFormat = Literal["transformers", "onnx", "onnx-int8"]


class SpecialTokens(Record):
    """The special tokens of a tokenizer; null for one that it does not have."""

    pad: str
    unk: str | None = None
    bos: str | None = None
    eos: str | None = None
    cls: str | None = None
    sep: str | None = None


class ExportedGeneration(Record):
    """How an exported model generates texts. Names and meanings are as in transformers' GenerationConfig."""

    encoder: str | None = Field(
        description="File of the graph of the encoder; null for a decoder, which reads a prompt"
    )
    num_beams: int
    length_penalty: float
    max_new_tokens: int
    min_new_tokens: int
    no_repeat_ngram_size: int
    eos_token_id: int
    pad_token_id: int
    decoder_start_token_id: int | None
    forced_bos_token_id: int | None
    forced_eos_token_id: int | None
    suppress_tokens: list[int] = Field(description="Tokens that are never generated")
    begin_suppress_tokens: list[int] = Field(description="Tokens that are not generated first")
    renormalize_logits: bool
    clean_up_tokenization_spaces: bool = Field(
        description="Whether spaces before punctuation are removed from generated texts"
    )
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = Field(default=0, description="0 is all tokens")
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    num_return_sequences: int = 1
    sampling_seed: int = 0
    stop_strings: list[str] = Field(default_factory=list, description="A text ends before the first of these strings")


class ExportedGraph(Record):
    """The graph in a model folder that is used without torch, and the facts about its tokenizer."""

    file: str
    inputs: list[str] = Field(description="Names of the inputs")
    outputs: list[str]
    has_token_types: bool = Field(description="Whether the tokenizer gives token_type_ids")
    special_tokens: SpecialTokens
    chat_template: str | None = Field(default=None, description="The Jinja template of dialogues; null for none")
    generation: ExportedGeneration | None = Field(default=None, description="null for a model that generates no texts")


class ExportFacts(Record):
    """How an export was made."""

    format: ExportFormat
    run: str = Field(description="The folder of the exported run")
    method: str = Field(description="The method of the run, such as lora")
    base_model: str
    command: str | None = Field(default=None, description="The command that trained the run")
    merged: bool = Field(description="Whether an adapter was merged into the weights")
    temperature: float | None = Field(
        default=None, description="The calibration temperature that the weights contain; null for none"
    )
    float_layers: list[str] = Field(
        default_factory=list, description="Matrix products that stay in float32 in a quantized graph"
    )
    seconds: float


class ChangedAnswers(Record):
    """The rows whose answer differs from the answer of the run; `low` and `high` bound their share (95%)."""

    count: int
    rows: int
    share: float
    low: float
    high: float


class MetricDifference(Record):
    """A metric of the run and of the export on the same rows, and the interval of export minus run."""

    run: float | None
    export: float | None
    difference: float | None
    low: float | None
    high: float | None
    level: float
    test: str


class DropCheck(Record):
    """The check of --max-drop: whether a larger drop of the metric is excluded with 95% confidence."""

    metric: str
    allowed: float
    drop: float | None
    upper_bound: float | None = Field(description="The drop is below this bound with 95% confidence")
    passed: bool
    rows_needed: int | None = Field(
        default=None,
        description="Rows that would exclude a larger drop, if the drop and the changed answers stay the same",
    )
    text: str


class Speed(Record):
    """Times of one model: latency of single rows in milliseconds, and rows per second in batches of 32 rows."""

    p50_ms: float
    p95_ms: float
    rows_per_second: float


class Timing(Record):
    """The speed of the run and of the export, measured in turns in one process on `rows` rows with `threads` threads."""

    rows: int
    rounds: int
    threads: int
    run: Speed
    run_precision: str
    export: Speed


class LayerChoice(Record):
    """Which layers of a graph in 8 bits stay in float32, and the shares of the training rows whose answers changed."""

    float_layers: list[str] = Field(description="Layers in float32; `*` is the number of a block")
    rows: int = Field(description="Training rows that were predicted with each graph")
    allowed: float = Field(description="The largest share with which the validation rows can exclude the drop")
    all_in_8_bits: float = Field(description="The share with all layers in 8 bits")
    chosen: float = Field(description="The share with the layers of the export")


class Certificate(FileRecord):
    """certificate.json of an export: the comparison with its run on the same rows."""

    format: ExportFormat
    split: str
    fingerprint: str
    rows: int
    features: int = Field(description="Inputs of the model: rows, or windows of long rows")
    largest_difference: float | None = Field(
        description="Of all outputs of the model on these rows; of a language model, of the negative log-likelihoods of the "
        "tokens, in nats; null for a model whose only outputs are texts"
    )
    output_scale: float | None = Field(description="Standard deviation of the outputs of the run")
    run_precision: str = Field(description="The precision of the run's model: no (float32) or bf16")
    graph_difference: float | None = Field(
        default=None,
        description="Largest difference of the float32 graph from the float32 weights on a few rows; null without a graph",
    )
    changed_answers: ChangedAnswers
    metrics: dict[str, MetricDifference]
    max_drop: DropCheck | None = None
    layers: LayerChoice | None = Field(
        default=None, description="null where no bound chose the layers: all of a graph in 8 bits have 8 bits"
    )
    run_megabytes: float
    export_megabytes: float
    timing: Timing | None = None
    machine: dict[str, str | int | float | None]
    versions: dict[str, str | None]


def read_certificate(folder: Path) -> Certificate:
    """Return certificate.json of the folder of an export. Raises RunFolderError."""
    return read_record(folder / CERTIFICATE, Certificate)


def write_certificate(folder: Path, certificate: Certificate) -> None:
    """Write certificate.json."""
    write_record(folder / CERTIFICATE, certificate)
