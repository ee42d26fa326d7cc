"""`python -m avgn_edge` is `avgn-edge`."""

if __name__ == "__main__":
    from avgn_edge.cli import main  # not for the processes that a command spawns: they import this file too

    raise SystemExit(main())
