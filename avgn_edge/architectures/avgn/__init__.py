"""The Audio-Visual Glance Network (AVGN)."""
