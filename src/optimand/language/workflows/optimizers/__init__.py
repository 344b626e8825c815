"""Optimizers that ask a language model for values of parameters: OptoPrime, OPRO, TextGrad, several candidates."""
