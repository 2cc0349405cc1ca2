"""The kinds of field that messages and records share: how long a text, how large a number may be."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Name = Annotated[str, Meta(max_length=200)]
Text = Annotated[str, Meta(max_length=4000)]
Identity = Annotated[str, Meta(max_length=64)]
Finite = Annotated[float, Meta(ge=-1e12, le=1e12)]
"""A number of seconds; neither endless nor no number at all, which no store can order."""
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]

Metadata = Annotated[dict[Name, Text], Meta(max_length=200)]
"""What whoever made a job wrote on it."""
