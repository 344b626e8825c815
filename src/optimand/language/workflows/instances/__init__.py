"""Workflows to optimize: random arithmetic, traffic lights, Battleship, broken functions, a pipeline for digits."""
