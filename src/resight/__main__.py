"""`python -m resight` is the command line."""

from resight.cli import main

main()
