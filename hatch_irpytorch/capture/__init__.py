"""From other programs to graphs: PyTorch modules and ONNX files."""
