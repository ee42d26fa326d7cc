"""`python -m avgn_edge` is `avgn-edge`."""

if __name__ == "__main__":
    from avgn_edge.cli.main import main

    raise SystemExit(main())
