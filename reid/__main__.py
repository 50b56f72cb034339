"""`python -m reid`: the command line, which belongs to the package that builds data."""

import sys

try:
    from pipeline.commands.main import main
except ModuleNotFoundError as error:
    if not (error.name or "").startswith("pipeline"):
        raise
    sys.exit(
        "reid: this folder's own `pipeline` hides the command's: run `reid`, or `python -P -m reid`"
    )

main()
