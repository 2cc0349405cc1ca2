"""Whether text is a CURVE key, for those who must not load what computes with one. Pure."""

from __future__ import annotations

from common.link import KEY_TEXT

_DIGITS = {character: value for value, character in enumerate(
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#")}
_GROUP = 5
"""Characters that stand for four bytes; they can spell more than four bytes hold."""


def is_key(text: str) -> bool:
    """Whether `text` is 32 bytes in Z85."""
    return KEY_TEXT.fullmatch(text) is not None and all(
        _number(text[start:start + _GROUP]) < 2**32 for start in range(0, len(text), _GROUP))


def _number(group: str) -> int:
    value = 0
    for character in group:
        value = value * len(_DIGITS) + _DIGITS[character]
    return value
