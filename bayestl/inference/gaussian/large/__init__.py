"""More labels than a full covariance matrix can hold: inducing values, and the labels near each row."""
