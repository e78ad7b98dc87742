"""Models made of other models: mixed by held-out density, recalibrated on held-out labels."""
