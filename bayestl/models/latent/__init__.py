"""A graph of tasks with explicit latent values for each row."""
