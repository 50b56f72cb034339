"""`python -m reid`: the command line, which belongs to the package that builds data."""

from pipeline.commands.main import main

main()
