"""Networks of torchvision, timm, transformers and torch.nn, put through both doors."""
