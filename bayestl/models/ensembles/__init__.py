"""Models made of other models: stacked by held-out density, recalibrated on held-out labels."""
