"""What runs on the other side: the keeper, the supervisor and the program's own process.

These modules use the standard library alone and import one another relatively, because a worker loads them from their
folder, without this package.
"""
