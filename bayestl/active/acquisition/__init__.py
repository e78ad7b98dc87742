"""Acquisition functions: the score of each possible measurement per unit of cost (``rates.rates``)."""
