"""The model card: what the model is, what it was made of, and how to load it."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, StrictUndefined

_TEMPLATE = """\
---
library_name: transformers
pipeline_tag: text-generation
tags:
- gristmill
- qwen3
---

# {{ name }}

A decoder language model of {{ "{:,}".format(num_parameters) }} parameters: {{ config.num_layers }} layers of width \
{{ config.width }}, {{ config.num_heads }} heads on {{ config.num_key_value_heads }} key-value heads, \
{{ config.vocab_size }} tokens, context {{ config.context }}. It was trained from random weights by Gristmill, in \
Qwen3's layout, so that programs that know Qwen3 run it without code of its own.

## Load it

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # where this file is
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
inputs = tokenizer("This function returns", return_tensors="pt", return_token_type_ids=False)
print(tokenizer.decode(model.generate(**inputs)[0], skip_special_tokens=True))
```
{% for title, rows in sections.items() %}
## {{ title }}

| | |
|---|---|
{% for key, value in rows.items() -%}
| {{ key | cell }} | {{ value | cell }} |
{% endfor -%}
{% endfor %}
## What to expect

It knows what its corpus says and nothing else, was not taught to follow instructions or to refuse any, and has not been
examined for what it repeats or for its prejudices. It is for studying how data becomes a model, not for answers.
"""


def model_card(
    name: str, config: Mapping[str, Any], num_parameters: int, sections: Mapping[str, Mapping[str, Any]]
) -> str:
    """`README.md` of a model; `sections` are tables under their titles, empty ones are left out."""
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    environment.filters["cell"] = _cell
    return environment.from_string(_TEMPLATE).render(
        name=_cell(name),
        config=config,
        num_parameters=num_parameters,
        sections={title: rows for title, rows in sections.items() if rows},
    )


def _cell(value: Any) -> str:
    """A value as the text of one cell of a Markdown table."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return " ".join(text.split()).replace("|", "\\|")
