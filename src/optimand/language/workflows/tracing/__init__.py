"""Values that know what they were computed from (Trace, arXiv 2406.16218): nodes, functions, graphs, backward."""
