"""Run the installed model of the sample project and compare it with numbers worked out by hand."""

import torch
from nets.affine import Affine

found = Affine()(torch.tensor([[1.0, 2.0]], dtype=torch.float64))
expected = torch.tensor([[1.0, 0.0, 3.5]], dtype=torch.float64)
assert torch.equal(found, expected), found
print("nets.affine:", found.tolist())
