"""Typed resources, a module per outside system; none knows a pipeline."""
