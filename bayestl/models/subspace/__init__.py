"""Linear functions of many tasks in a shared subspace: the Gibbs sampler and the estimator."""
