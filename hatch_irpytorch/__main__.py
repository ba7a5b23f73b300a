"""`python -m hatch_irpytorch` is the command `irpytorch`."""

import sys

from hatch_irpytorch.cli import main

if __name__ == "__main__":
    sys.exit(main())
