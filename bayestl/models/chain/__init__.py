"""Each task follows the label of the task before it."""
