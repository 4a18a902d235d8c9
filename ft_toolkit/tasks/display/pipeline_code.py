"""Python code that runs a saved model in a transformers pipeline, for the model card."""

from ft_toolkit.core.run_folder import BASE_CONFIG
from ft_toolkit.tasks.base import PipelineRequest

# The vectors of the texts, (texts, width), from the hidden states (texts, tokens, width) and `mask` (texts, tokens).
_POOLED = {
    "first": "hidden[:, 0]",
    "mean": "(hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)",
    "max": 'hidden.masked_fill(mask[:, :, None] == 0, float("-inf")).amax(1)',
    "last": "hidden[range(len(hidden)), mask.sum(1) - 1]",
}


def pipeline_code(
    request: PipelineRequest, *, tag: str, auto_class: str, variable: str, call: str, options: str = ""
) -> str:
    """Return code that makes the pipeline of a tag as `variable`, with further `options`, and runs `call`.

    transformers does not find the config of an adapter's base model for the task by itself: without it, the head has two
    labels without names. It does not know the pooling of request.pooling either.
    """
    more = f", {options}" if options else ""
    if not request.is_adapter and request.pooling is None:
        return f'from transformers import pipeline\n\n{variable} = pipeline("{tag}", model="{request.model}"{more})\n{call}'
    names = [*(["AutoConfig"] if request.is_adapter else []), auto_class, "AutoTokenizer", "pipeline"]
    lines = [f"from transformers import {', '.join(names)}", ""]
    arguments = [f'"{request.model}"']
    if request.is_adapter:
        lines.append(f'config = AutoConfig.from_pretrained("{request.model}", subfolder="{BASE_CONFIG}")')
        arguments.append("config=config")
    if request.pooling is not None:
        arguments.append(rf'key_mapping={{r"^pooled_{request.pooling}\.": ""}}')
    lines.append(f"model = {auto_class}.from_pretrained({', '.join(arguments)})")
    if request.pooling is not None:
        lines += _pooling_lines(request.pooling)
    lines += [
        f'tokenizer = AutoTokenizer.from_pretrained("{request.model}")',
        f'{variable} = pipeline("{tag}", model=model, tokenizer=tokenizer{more})',
        call,
    ]
    return "\n".join(lines)


def _pooling_lines(how: str) -> list[str]:
    """Return code that lets the head read the pooled vector of each text."""
    return [
        "",
        "def pool(base_model, arguments, named, output):",
        '    hidden, mask = output.last_hidden_state, named["attention_mask"]',
        f"    output.pooler_output = {_POOLED[how]}",
        "    output.last_hidden_state = output.pooler_output[:, None].expand_as(hidden)",
        "    return output",
        "",
        "# the head reads this vector of a text; a pooler, which transformers may report as missing, is not used",
        "model.base_model.register_forward_hook(pool, with_kwargs=True)",
    ]
