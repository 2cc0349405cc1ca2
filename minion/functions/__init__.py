"""The built-in functions, one file per module. The spawner loads them all, so they import nothing heavy."""

from __future__ import annotations

ALIASES = {
    "grains.get": "facts.get",
    "grains.items": "facts.items",
    "saltutil.find_job": "job.find_job",
    "saltutil.is_running": "job.is_running",
    "saltutil.kill_all_jobs": "job.kill_all_jobs",
    "saltutil.kill_job": "job.kill_job",
    "saltutil.running": "job.running",
    "saltutil.signal_job": "job.signal_job",
    "saltutil.term_all_jobs": "job.term_all_jobs",
    "saltutil.term_job": "job.term_job",
    "sys.list_functions": "sys.functions",
}
"""The names under which Salt has them, to what they are called here."""
