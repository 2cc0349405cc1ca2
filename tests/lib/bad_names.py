"""Names that nobody may have: what people and programs have tried on systems that made paths and commands of them."""

from __future__ import annotations

from typing import NamedTuple

BAD_IDS: tuple[str, ...] = (
    # nothing, or nothing to be seen
    "", " ", "\t", "\u200b", "\u00a0", "\u3000",
    # paths
    ".", "..", "...", "/", "//", "../m1", "../../etc/passwd", "..\\..\\m1", "m1/../../x", "/etc/passwd", "//host/share",
    "~", "~root", "./m1", "m1/", "m1//x", "C:\\x", "file:///etc/passwd", "/proc/self/mem", "/dev/zero",
    # the same in disguise
    "%2e%2e%2fm1", "..%2f..%2fm1", "%00", "..%c0%af", "\u2025/x", "\uff0e\uff0e/x", "\u2024\u2024/x", "m1\u2215x",
    "m1\u2044x", "\u0662\u0660\u0662\u0666",
    # what ends a text, a line or a terminal's patience
    "m1\0", "\0", "m1\0.json", "m1\n", "m1\nm2", "m1\r\nX: y", "\x1b[2J", "\x7f", "m1\u2028x",
    # what looks like something else
    "\u202em1", "m1\u202e", "\u200fm1", "\u043c1", "\uff4d1", "m\u0131", "M1", "m\u0301",
    # too long
    "a" * 64, "a" * 300, "a/" * 150, "\u00e9" * 200,
    # names with a meaning elsewhere
    "-o", "--root=/", "-", "_x", "__init__", ".hidden", "CON", "NUL.txt", "AUX:",
    # patterns, quotes, variables
    "*", "m?", "[m]1", "{m1,m2}", "m1;x", "m1|x", "m1&", "$(x)", "`x`", "$HOME", "'m1'", '"m1"', "m1 m2", "m1,m2",
    "#m1", "<m1>", "!m1",
)
"""None of them is a minion id or a jid, and none of them is the name of a function, a runner or a schedule."""

NEARLY_JIDS: tuple[str, ...] = (
    "2026010203040512345", "202601020304051234567", "20260102030405123456-", "20260102030405123456-0123456789abcde",
    "20260102030405123456-0123456789ABCDEF", "20260102030405123456-0123456789abcdef0", "20260102030405123456.json",
    "20260102030405123456/..", "../20260102030405123456", " 20260102030405123456", "20260102030405123456\n",
    "+2026010203040512345", "-2026010203040512345", "2026010203040512345\u0666", "\uff12" * 20, "0x260102030405123456",
    "20260102 30405123456", "20260102030405123456\0",
)


class Trap(NamedTuple):
    """A text that makes a shell create the marker, were it ever read by one."""

    name: str
    text: str


def traps(marker: str) -> list[Trap]:
    """The texts for one marker file, which must never appear."""
    make = f"touch {marker}"
    return [
        Trap("command", f"$({make})"), Trap("backticks", f"`{make}`"), Trap("semicolon", f"; {make};"),
        Trap("pipe", f"| {make}"), Trap("both", f"&& {make} ||"), Trap("background", f"& {make} &"),
        Trap("newline", f"x\n{make}\n"), Trap("quote", f"'; {make}; '"), Trap("double quote", f'"; {make}; "'),
        Trap("closed", f"'\"`; {make} #"), Trap("brace", f"${{IFS}}`{make}`"), Trap("option", f"--exec={make}"),
        Trap("short option", f"-c{make}"), Trap("redirection", f"x > {marker}"), Trap("template", f"{{{{ {make} }}}}"),
        Trap("yaml", f"!!python/object/apply:os.system ['{make}']"), Trap("format", "%(x)s %s {0} {x.__class__}"),
    ]
