"""The server's side of realtime services: worker processes, which model is loaded where, and the check of a model."""
