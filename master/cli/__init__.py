"""Commands. What is imported first keeps an early Ctrl-C quiet."""

from common.cli import early as early
