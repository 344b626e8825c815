"""Optimization problems as data: expressions, variables, constraints; a program, an evaluator and second solvers."""
