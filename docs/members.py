"""Which methods and properties the page of a class shows; those that it inherits are shown, too."""

_MODEL = "fit posterior complete predict posterior_batches predict_batches log_density score summary"
_MODEL += " hyperparameter_summary feature_relevance task_correlation leave_one_out diagnose to_arviz save"
_FEATURES = "fit fit_transform transform get_feature_names_out"

MEMBERS = {
    name: text.split()
    for name, text in {
        "AutoTransfer": _MODEL,
        "IndependentGP": _MODEL,
        "MultiTaskGP": _MODEL,
        "DifferenceGP": f"{_MODEL} offsets offset_draws shifts",
        "PairedDifferenceGP": f"{_MODEL} offsets offset_draws",
        "ChainGP": _MODEL,
        "LatentVariableGP": f"{_MODEL} latent edges edge_curves",
        "LowRankLinear": f"{_MODEL} rank coefficients",
        "StackedModel": _MODEL,
        "Recalibrated": _MODEL,
        "Task": "label classes",
        "Posterior": "tasks mean std quantile interval point to_frame log_density probabilities sample apply marginal"
        " marginals moments",
        "Derived": "mean std quantile interval sample",
        "Comparison": "models quantities table paired best doubt classified",
        "Calibration": "table p_value",
        "Campaign": "open names suggest tell withdraw drop results suggestions labels best hits progress spent",
        "Simulation": "criterion at_cost summary",
        "Policy": "choose",
        "Section": "text frame figure anchor",
        "CompositionFeatures": _FEATURES,
        "MoleculeFeatures": _FEATURES,
        "TableFeatures": _FEATURES,
        "Dataset": "rows",
    }.items()
}
