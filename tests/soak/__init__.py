"""Campaigns that try to break the project: small in the tests, large by `make soak`.

    python -m tests.soak mutations --count 1000   # damaged and hostile inputs, so many a reader
    python -m tests.soak kills --count 100        # SIGKILL at random times, then run again
    python -m tests.soak disk                     # full disks, read-only folders, two runs, clocks
    python -m tests.soak damage --count 1000      # flipped bytes and cut files in shards

Every case is made from its seed alone. What was once found stays in corpus.json.
"""
