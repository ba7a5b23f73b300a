"""How well the generated module does as it stands."""

import sys

from data import accuracy

sys.path.insert(0, "generated")
from nets.digits import Digits

print(f"accuracy {accuracy(Digits()):.4f}")
