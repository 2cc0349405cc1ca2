"""Faults on real processes: random SIGKILLs, crash loops, pauses; and the counts of what became of every job."""
