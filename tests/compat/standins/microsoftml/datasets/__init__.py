"""As in microsoftml."""
