"""Scoring kernels: how one is started and watched, the channel it answers on, and pools of them."""
