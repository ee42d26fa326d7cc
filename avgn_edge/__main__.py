"""`python -m avgn_edge` is `avgn-edge`."""

from avgn_edge.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
