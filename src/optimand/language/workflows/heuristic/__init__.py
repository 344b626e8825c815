"""A proposer without a language model: bisection by feedback in words, local search by scores, trial of options."""
