"""Models in which each task depends on the label of the task before it."""
