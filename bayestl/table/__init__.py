"""What a user's table means: tasks, columns of labels, groups, and the scaling of features and labels."""
