"""What `make demo` runs: a half of the demo by DVC, saying at each stage how much is left.

    python -m tests.demo images

The halves run side by side on half of the cores each: small networks gain little from a second
thread, and one worker less is one import of torch less.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

# The stages of each half, with about the CPU seconds of each, for their shares: of stages and first
# epochs that were measured on two busy cores, the rest estimated. A run finds its own pace.
SECONDS: dict[str, dict[str, int]] = {
    "images": {
        "world@street": 34, "ingest@street": 3, "joints@street": 25, "parts@street": 4,
        "attention_driven@street-baseline": 31, "attention_driven_evaluate@street-baseline": 5,
        "attention_driven@street-intra-inter": 33,
        "attention_driven_evaluate@street-intra-inter": 6,
        "accuracy@joints-street": 2,
        "world@mall": 40, "ingest@mall": 3, "masks@mall": 74, "backgrounds@mall": 7,
        "implicit_attention@mall-baseline": 41, "implicit_attention_evaluate@mall-baseline": 4,
        "implicit_attention@mall-full-body": 43, "implicit_attention_evaluate@mall-full-body": 4,
        "backgrounds@mall-upper": 7, "swaps@mall": 5, "accuracy@masks-mall": 2,
    },
    "video": {
        "world@topview": 35, "ingest@topview": 4, "crops@topview": 26, "jet@topview-crops": 3,
        "multimodal_attention@topview-rgb-d": 32, "multimodal_attention_evaluate@topview-rgb-d": 3,
        "multimodal_attention@topview-mat": 32, "multimodal_attention_evaluate@topview-mat": 3,
        "jet@topview": 4, "accuracy@crops-topview": 2,
        "world@hall": 58, "ingest@hall": 4, "flow@hall": 77,
        "mutual_attention@hall-one-stream": 12, "mutual_attention_evaluate@hall-one-stream": 5,
        "mutual_attention@hall-mutual": 19, "mutual_attention_evaluate@hall-mutual": 5,
        "attentive_convlstm@hall-convlstm": 90, "attentive_convlstm_evaluate@hall-convlstm": 6,
        "accuracy@flow-hall": 6,
    },
}  # fmt: skip
STAGE = re.compile(r"(Running s|S)tage '([^']+)'")  # begun, or done already
FIRST_S = 60.0  # of a run: until then the seconds above count more than this machine's own


class Progress:
    """Where a half stands, by the lines that DVC prints."""

    def __init__(self, half: str, now: float) -> None:
        self.half, self.begun, self.left = half, now, dict(SECONDS[half])
        self.done_s = self.running_s = 0

    def read(self, line: str, now: float) -> str | None:
        """One line of a stage that begins, None for all else; `now` in seconds."""
        seen = STAGE.match(line)
        if not seen or seen[2] not in self.left:
            return None
        self.done_s += self.running_s
        self.running_s = self.left.pop(seen[2])
        if seen[1] == "S":
            self.running_s = 0
            return None
        pace = (now - self.begun + FIRST_S) / (self.done_s + FIRST_S)  # of this machine
        minutes = pace * (self.running_s + sum(self.left.values())) / 60
        count = len(SECONDS[self.half])
        at = f"{self.half}: stage {count - len(self.left)} of {count}, {seen[2]}"
        return f"{at}; {'less than a minute' if minutes < 1 else f'about {minutes:.0f} min'} left\n"


def share_cores(half: str) -> int:
    """Keep this process and its children on the half's own cores; how many these are."""
    if not hasattr(os, "sched_setaffinity"):  # macOS
        return max(1, (os.cpu_count() or 1) // len(SECONDS))
    cores = sorted(os.sched_getaffinity(0))
    own = cores[list(SECONDS).index(half) :: len(SECONDS)] or cores
    os.sched_setaffinity(0, own)
    return len(own)


def main(half: str) -> int:
    """Run a half; DVC's exit status."""
    os.environ["OMP_NUM_THREADS"] = str(share_cores(half))
    progress = Progress(half, time.monotonic())
    command = ["dvc", "--wait-for-lock", "repro", *SECONDS[half]]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as dvc:
        assert dvc.stdout is not None
        for line in dvc.stdout:
            sys.stdout.write(progress.read(line, time.monotonic()) or line)
            sys.stdout.flush()
    return dvc.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
