"""What commands print: answers of the control socket as tables for people, or as text for programs.

Values come from other hosts: in a table every control character is escaped; json, jsonl and yaml escape in their own
way; raw is the very text that came. What is slow to load, and what few commands need, is loaded late.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping
from typing import Any, Literal

from common import style, views
from common.text import escape_json, is_safe

Format = Literal["table", "json", "jsonl", "yaml", "raw"]
FORMATS: tuple[Format, ...] = ("table", "json", "jsonl", "yaml", "raw")
Kind = Literal["job", "pairs", "jobs", "active", "presence", "keys", "runs", "schedules", "schedule", "simulation",
               "explanation", "names", "signals", "summaries", "value"]
"""job: the document of one job · pairs: {ID: PAIR} · jobs: a list of jobs, or the answer of the verb `jobs` ·
active: {JID: ...} · presence: {ID: ...} · keys: a list of keys, or the answer of the verb `keys` ·
runs: a list of planned runs, or the answer of the verb `runs` · schedules: a list of entries ·
schedule: any data in which some numbers are times · simulation, explanation: a look ahead at schedules ·
names: a list of names · signals: what `jobs.signal` answers · summaries: {name: a line} ·
value: any data."""

NO_LIMIT = 1_000_000
DEPTH = 60
"""Lists and maps within each other; what is deeper is named and not shown."""


def render(kind: Kind, value: Any, fmt: Format = "table", *, colour: bool = False, width: int = 80) -> str:
    """The text to print, without a last newline; empty when there is nothing to show.

    json and yaml are the value itself; jsonl is one line for each minion, job or item; raw is what the jobs returned,
    text as it is and all else in JSON. `colour` and `width` are for tables: a `width` of 0 cuts nothing.
    """
    value = plain(value)
    if fmt == "table":
        return views.table(kind, value, colour, width or NO_LIMIT)
    if fmt == "json":
        return _json(value, indent=2)
    if fmt == "yaml":
        return _yaml(value)
    if fmt == "jsonl":
        return "\n".join(map(_json, _items(kind, value)))
    return "\n".join(map(_raw, _returns(kind, value)))


def render_pair(
    minion: str, pair: Mapping[str, Any], fmt: Format = "table", *,
    jid: str = "", function: str = "", name_width: int = 0, colour: bool = False, width: int = 80,
) -> str:
    """One pair, to be printed as it comes in. `name_width` is the length of the longest id, so that columns line up.

    For table, jsonl and raw; the other formats need the whole document, and get a document of this pair here.
    """
    if fmt == "table":
        return views.pair_block(minion, plain(pair), max(name_width, len(minion)), colour, width or NO_LIMIT, function)
    if fmt == "jsonl":
        return _json({"jid": jid, "minion": minion, **plain(pair)})
    return render("pairs", {minion: pair}, fmt)


def unfinished(kind: Kind, value: Any) -> list[str]:
    """The minions of which a job's document, or pairs, hold less than they returned or wrote: raw cannot show that."""
    if kind == "job":
        documents = _documents(value) or [value]
        return [name for document in documents for name in unfinished("pairs", document.get("minions") or {})]
    return [minion for minion, pair in value.items() if is_cut(pair)] if kind == "pairs" else []


def is_cut(pair: Mapping[str, Any]) -> bool:
    """Whether what a pair holds is not all that its minion returned or wrote."""
    return bool(pair.get("truncated") or pair.get("expired") or (pair.get("evidence") or {}).get("lost_bytes"))


def summary(counts: Mapping[str, int], *, colour: bool = False) -> str:
    """`4 succeeded, 1 failed`: how a job stands, the worst last; `no minions` when there is none."""
    return style.standing(counts, colour)


def plain(value: Any, depth: int = 0) -> Any:
    """`value` as every format can show it: keys are text, bytes are text or base64, numbers are finite."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, str)):
        # An enum is what it stands for.
        return int(value) if isinstance(value, int) else str(value)
    if isinstance(value, float):
        return value if value - value == 0 else repr(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _decoded(bytes(value))
    if depth >= DEPTH:
        return f"(nested deeper than {DEPTH})"
    if isinstance(value, Mapping):
        return {_key(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, depth + 1) for item in value]
    return str(value)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    shown = plain(key)
    return shown if isinstance(shown, str) else _json(shown)


def _decoded(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": b2a_base64(data, newline=False).decode()}


def _json(value: Any, indent: int | None = None) -> str:
    import json

    return escape_json(json.dumps(value, ensure_ascii=False, indent=indent))


def _yaml(value: Any) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Text of several lines as a block."""

        def ignore_aliases(self, data: Any) -> bool:
            """The same list twice is written twice."""
            return True

    def block(dumper: Dumper, text: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)

    def dump(unicode: bool) -> str:
        text: str = yaml.dump(value, None, Dumper, sort_keys=False, allow_unicode=unicode, width=NO_LIMIT)
        return text.removesuffix("\n").removesuffix("\n...")

    Dumper.add_representer(str, block)
    shown = dump(True)
    # YAML lets marks that turn the direction of text, and a few separators, stand as they are.
    return shown if is_safe(shown, "\n") else dump(False)


def _items(kind: Kind, value: Any) -> list[Any]:
    """What is a line of its own in jsonl."""
    if kind == "job" and (documents := _documents(value)):
        return [item for document in documents for item in _items(kind, document)]
    if kind == "job" and "minions" in value:
        return [{"jid": value.get("jid"), "minion": minion, **pair} for minion, pair in value["minions"].items()]
    if kind in ("pairs", "presence"):
        return [{"minion": minion, **item} for minion, item in value.items()]
    if kind == "active":
        return list(value.values())
    if kind in ("jobs", "keys", "runs") and isinstance(value, dict):
        return list(value.get(kind, ()))
    return value if isinstance(value, list) else [value]


def _documents(value: Any) -> list[Any]:
    """The documents in {JID: document}, as jobs.print_job gives it."""
    if not isinstance(value, dict) or "minions" in value:
        return []
    return [item for item in value.values() if isinstance(item, dict) and "minions" in item]


def _returns(kind: Kind, value: Any) -> list[Any]:
    """What raw shows: of a job only what its minions returned."""
    if kind == "job" and (documents := _documents(value)):
        return [item for document in documents for item in _returns(kind, document)]
    if kind == "job" and "minions" in value:
        value, kind = value["minions"], "pairs"
    if kind == "pairs":
        return [pair["return"] for pair in value.values() if pair.get("return") not in (None, "")]
    return _items(kind, value) if kind != "value" else [value]


def _raw(value: Any) -> str:
    # What cannot be encoded would end the command with a traceback.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else _json(value)
