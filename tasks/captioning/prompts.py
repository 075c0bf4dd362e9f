"""What a vision model is asked about a picture."""

from __future__ import annotations

import base64
from typing import Any

SYSTEM = (
    "You describe pictures from documents for readers who cannot see them. "
    "State only what the picture shows. Never mention files, folders or these instructions."
)

REQUEST = """Describe this picture in plain sentences, in the language of its text (English if it \
has none), as one paragraph without headings or lists:
1. its title, or what it is (chart, diagram, table, photograph, scanned text);
2. all visible text: labels, axes, legends, names, units;
3. what is shown, and how the parts relate;
4. the key facts: every number with its label, highest and lowest values, trends, conclusions."""


def build_messages(jpeg: bytes) -> list[dict[str, Any]]:
    """OpenAI chat messages that show one JPEG and ask for its caption."""
    url = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
    content = [
        {"type": "text", "text": REQUEST},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}]
