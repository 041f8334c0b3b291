"""The Jupyter server extension: finds or starts the one server, and forwards to it as the Jupyter user."""
