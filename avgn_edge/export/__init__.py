"""From a checkpoint to separate ONNX graphs, with their parity and their cost."""
