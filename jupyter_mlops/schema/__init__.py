"""Frozen wire types: what crosses HTTP and the scoring channel, one file per noun."""
