"""The PyTorch modules of the Audio-Visual Glance Network, one file a module."""
