"""Stories of a simulated fleet, as transcripts: commands that begin with `>`, and the lines that they must bring.

`python -m tests.sim.stories FILE...` plays them and prints what differs; with `--rewrite` the files are brought up to
date, for the eyes of whoever changed something. The transcript of a failing world of `soak` is a story as well.
"""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

from tests.sim.commands import Commands
from tests.sim.world import Broken, World


def play(text: str) -> str:
    """Play the commands of a transcript on a fresh world; the transcript that this makes, comments kept."""
    lines = text.splitlines()
    head = next(line for line in lines if line.startswith("world "))
    comments = lines[:lines.index(head)]
    words = head.split()[1:]
    given = dict(zip(words[::2], words[1::2], strict=True))
    world = World(int(given["seed"]), int(given["minions"]), max_jobs=int(given["max_jobs"]),
                  lost_after=float(given["lost_after"]), scheduled=int(given.get("scheduled", 0)))
    commands = Commands(world)
    try:
        for line in lines:
            if line.startswith("> "):
                commands.play(line[2:])
        made = world.transcript
    except Broken as error:
        made = str(error).splitlines()
    return "\n".join([*comments, *made]) + "\n"


def differences(path: Path) -> list[str]:
    """What a story says and the world does not do, and the other way round."""
    said = path.read_text()
    return list(difflib.unified_diff(said.splitlines(), play(said).splitlines(), "story", "world", lineterm=""))


def main() -> int:
    """Play all that are named; 1 when one differs."""
    rewrite = "--rewrite" in sys.argv
    paths = [Path(name) for name in sys.argv[1:] if name != "--rewrite"]
    differs = False
    for path in paths:
        found = differences(path)
        differs = differs or bool(found)
        print(*([f"{path}:", *found] if found else [f"{path} is true"]), sep="\n")
        if rewrite:
            path.write_text(play(path.read_text()))
    return 1 if differs and not rewrite else 0


if __name__ == "__main__":
    sys.exit(main())
