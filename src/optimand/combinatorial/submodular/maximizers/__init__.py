"""Choosing from a set that stays: greedy in its forms, sieve-streaming in one pass, an estimator for scikit-learn."""
