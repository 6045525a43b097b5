"""Rows out of JSON: mapping, reading, converting and writing them."""

__all__: list[str] = []
