"""`python -m resight` is the command line."""

from resight.cli.app import main

main()
