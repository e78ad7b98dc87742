"""Markov chains over hyperparameters and latent values, many walkers at once."""
