"""Formats of files, each from its bytes to rows or values; knows no pipeline."""
