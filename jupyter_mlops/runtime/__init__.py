"""What runs inside a scoring kernel: load the snapshot, answer calls. Standard library, ipykernel and the floor."""
