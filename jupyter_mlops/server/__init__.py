"""The server: handlers speak HTTP, managers know the rules, stores keep, kernels score."""
