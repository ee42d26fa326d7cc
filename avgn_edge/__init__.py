"""Audio-Visual Glance Network for edge devices."""
