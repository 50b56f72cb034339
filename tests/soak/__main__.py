"""`python -m tests.soak CAMPAIGN --count N --seed S`: the campaigns at full size.

Mutations run in a child process for each target, which may use so much memory and no more. Where
a child crashes or hangs for good, that case is a finding, and the next child goes on behind it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.soak.cases import Case, memory_folder, report, say

MEMORY = 6 * 2**30  # bytes of address space of a child: a bomb must not go off
CAMPAIGNS = {"mutations": 1000, "kills": 100, "disk": 1, "damage": 1000}  # and their counts


def main() -> int:
    """Run one campaign; status 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("campaign", choices=CAMPAIGNS)
    parser.add_argument("--count", type=int, help="cases of each target")
    parser.add_argument("--seed", type=int, default=0, help="of the first case")
    parser.add_argument("--only", action="append", help="only this target; may be given again")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    count = CAMPAIGNS[given.campaign] if given.count is None else given.count
    seeds = range(given.seed, given.seed + count)
    if given.child:
        return child(given.only[0], seeds)
    say(f"{given.campaign}: seeds {seeds.start} to {seeds.stop - 1}")
    figures = report(cases(given.campaign, seeds, given.only))
    say("\n".join(figures.lines()))
    return 1 if figures.findings else 0


def cases(campaign: str, seeds: range, only: list[str] | None) -> Iterator[Case]:
    """The cases of a campaign, of all its targets or only of some."""
    from tests.soak import damage, disk, kills, mutations

    if campaign == "mutations":
        for target in only or mutations.TARGETS:
            yield from in_children(target, seeds)
        return
    module = {"kills": kills, "disk": disk, "damage": damage}[campaign]
    with memory_folder() as base:
        for target in only or module.TARGETS:
            yield from module.cases(target, seeds, base)


def in_children(target: str, seeds: range) -> Iterator[Case]:
    """Mutations of one target, in a child that is started again behind a crash."""
    next_seed = seeds.start
    while next_seed < seeds.stop:
        command = [sys.executable, "-m", "tests.soak", "mutations", "--child", "--only", target]
        command += ["--seed", str(next_seed), "--count", str(seeds.stop - next_seed)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as run:
            assert run.stdout is not None
            for line in run.stdout:
                case = Case(**json.loads(line))
                next_seed = case.seed + 1
                yield case
        if next_seed < seeds.stop:
            yield Case(target, next_seed, finding=f"the process ended with {run.returncode}")
            next_seed += 1


def child(target: str, seeds: range) -> int:
    """Print each case as JSON; end by a signal where one cannot be interrupted."""
    import faulthandler

    from tests.soak import mutations

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with memory_folder() as base:
        field = mutations.Field(Path(base), target)
        for seed in seeds:
            faulthandler.dump_traceback_later(3 * mutations.SECONDS, exit=True)
            say(json.dumps(asdict(field.case(seed))))
    faulthandler.cancel_dump_traceback_later()
    return 0


if __name__ == "__main__":
    sys.exit(main())
