"""Bundles: a manifest and ONNX graphs in a folder, written by export and read by the runtime."""
