"""Python code that runs a saved model in a transformers pipeline, for the model card."""

from ft_toolkit.core.run_folder import BASE_CONFIG
from ft_toolkit.tasks.base import PipelineRequest


def pipeline_code(
    request: PipelineRequest, *, tag: str, auto_class: str, variable: str, call: str, options: str = ""
) -> str:
    """Return code that makes the pipeline of a tag as `variable`, with further `options`, and runs `call`.

    transformers does not find the config of an adapter's base model for the task by itself: without it, the head has two
    labels without names.
    """
    more = f", {options}" if options else ""
    if not request.is_adapter:
        return f'from transformers import pipeline\n\n{variable} = pipeline("{tag}", model="{request.model}"{more})\n{call}'
    return (
        f"from transformers import AutoConfig, {auto_class}, AutoTokenizer, pipeline\n\n"
        f'config = AutoConfig.from_pretrained("{request.model}", subfolder="{BASE_CONFIG}")\n'
        f'model = {auto_class}.from_pretrained("{request.model}", config=config)\n'
        f'tokenizer = AutoTokenizer.from_pretrained("{request.model}")\n'
        f'{variable} = pipeline("{tag}", model=model, tokenizer=tokenizer{more})\n{call}'
    )
