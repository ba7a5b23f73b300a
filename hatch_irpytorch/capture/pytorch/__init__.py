"""From an `nn.Module` to a graph, by way of `torch.export`."""
