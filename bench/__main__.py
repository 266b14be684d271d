"""Entry point `python -m bench`: the same as `valerix bench`."""

from deploy.cli.__main__ import main

if __name__ == "__main__":
    main("bench")
