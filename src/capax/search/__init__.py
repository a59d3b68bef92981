"""Search: hyperparameter space, Gaussian-process bandit, store."""

from capax.search.bandit import GaussianProcessBandit as GaussianProcessBandit
