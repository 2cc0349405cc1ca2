"""Says how a function is to be called on this host, by the table of functions that the loader made."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Raw, structs

from common.codec import ARGS_LIMIT, unpack
from common.errors import NotFoundError, UsageError
from common.functions import Table
from common.host.job import Plan
from common.messages import NO_SECRETS, JobFields
from common.secrets import opened, seal
from common.values import bind, unknown


class TablePlanner:
    """A `Planner` over a table that may change when the spawner is started anew."""

    def __init__(self, table: Callable[[], Table], broken: Callable[[], dict[str, str]]) -> None:
        """`broken` gives the modules that could not be loaded: their functions are not simply unknown."""
        self._table = table
        self._broken = broken

    def plan(self, fields: JobFields, secrets: Raw = NO_SECRETS) -> Plan:
        """See `Planner`. Raises NotFoundError for an unknown function, UsageError for arguments that do not fit it."""
        table = self._table()
        info = table.get(fields.function)
        if info is None:
            raise NotFoundError(unknown(fields.function, table, self._broken()))
        args, kwargs = unpack(fields.args, ARGS_LIMIT), unpack(fields.kwargs, ARGS_LIMIT)
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise UsageError(f"cannot call {fields.function}: its arguments are no list and no map")
        hidden = opened(secrets)
        bound = bind(info, fields.function, args, {**kwargs, **hidden}, fields.typed, hidden.keys())
        timeout = bound.timeout if bound.timeout is not None else fields.timeout
        plan = Plan(args=bound.args, kwargs=bound.kwargs, timeout=timeout, inline=info["inline"], reads=info["reads"])
        if not hidden:
            return plan
        told, named, sealed = seal(info["params"], bound.args, bound.kwargs, hidden)
        return structs.replace(plan, args=told, kwargs=named, sealed=sealed)
