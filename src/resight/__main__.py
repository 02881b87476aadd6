"""The command line, as `resight` and `python -m resight`."""

import sys


def main() -> None:
    """Run the command line, also if it is interrupted while modules are imported."""
    try:
        from resight.cli.app import main
    except KeyboardInterrupt:
        print("resight: stopped; run the same command again to resume", file=sys.stderr)
        sys.exit(130)
    main()


if __name__ == "__main__":
    main()
