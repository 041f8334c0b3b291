"""The rules: what may be published, who may do what, and how a call runs. No HTTP, no SQL."""
