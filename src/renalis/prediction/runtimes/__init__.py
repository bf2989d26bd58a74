"""What computes the networks: torch, OpenVINO, ONNX Runtime; their choice, cache and export."""
