"""`python -m fluxmig`."""

from fluxmig.cli import main

if __name__ == "__main__":
    main()
