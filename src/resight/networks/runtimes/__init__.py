"""Inference runtimes: PyTorch, OpenVINO and ONNX Runtime."""
