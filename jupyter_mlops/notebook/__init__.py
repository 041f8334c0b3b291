"""What runs in the author's kernel: the magics, and what they show."""
