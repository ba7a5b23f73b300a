"""Train the generated module and save its state dict."""

import sys

import torch
from data import accuracy, logits, split

sys.path.insert(0, "generated")
from nets.digits import Digits, save_weights

torch.manual_seed(0)
torch.set_num_threads(1)
model = Digits()
x, y, _, _ = split()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for _ in range(20):
    for batch in torch.split(torch.randperm(len(x)), 64):
        loss = torch.nn.functional.cross_entropy(logits(model, x[batch]), y[batch])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
save_weights(model, "trained.safetensors")
print(f"accuracy {accuracy(model):.4f}")
