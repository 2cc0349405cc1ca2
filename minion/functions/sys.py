"""What this minion can do, and how it does."""

from __future__ import annotations

import fnmatch
from typing import Any

from common.functions import Agent, Failed, inline
from common.signatures import no_such, shown, usage


@inline(reads=True)
def functions(glob: str = "*", *, agent: Agent) -> list[str]:
    """The names of the functions this minion has, those that match a glob.

    Example: jr web1 sys.functions 'cmd.*'
    """
    return sorted(name for name in agent.functions() if fnmatch.fnmatchcase(name, glob))


@inline(reads=True)
def doc(name: str = "*", *, agent: Agent) -> dict[str, str]:
    """How functions are called and what they do: of one function, of a module, or of all that match a glob.

    Example: jr web1 sys.doc cmd.run
    """
    table = agent.functions()
    glob = name if "." in name or "*" in name else f"{name}.*"
    found = {entry: f"{usage(entry, info)}\n\n{info['doc']}".rstrip()
             for entry, info in sorted(table.items()) if fnmatch.fnmatchcase(entry, glob)}
    if not found:
        raise Failed(f"cannot explain {shown(name)}: {no_such(name, table, agent.status().get('broken', {}))}")
    return found


@inline(reads=True)
def status(*, agent: Agent) -> dict[str, Any]:
    """How the agent does: version, connection, containment of jobs, what queues, broken function modules,
    the disk (`ok`, or why nothing can be written to it).


    Example: jr '*' sys.status
    """
    return agent.status()
