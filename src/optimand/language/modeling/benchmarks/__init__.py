"""OptiBench and its like: loading, grading as its authors do and robustly, evaluation, an audit of the data."""
