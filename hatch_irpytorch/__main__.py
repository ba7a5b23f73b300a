"""`python -m hatch_irpytorch` is the command `irpytorch`."""

import os
import sys

if __name__ == "__main__":
    # `-m` looks into the working directory before the standard library: the script does not.
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    safe = sys.flags.isolated or getattr(sys.flags, "safe_path", False)
    if not safe and sys.path[0] != ours:
        del sys.path[0]
    from hatch_irpytorch.cli import main

    sys.exit(main())
