"""Metrics, budget curves and reports."""
