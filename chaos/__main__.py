"""Entry point `python -m chaos`: the same as `valerix chaos`."""

from deploy.cli.__main__ import main

if __name__ == "__main__":
    main("chaos")
