"""The lab: studies, their execution, store, tuning, statistics, report and command.

It knows families only through :mod:`optimand.core.catalog`.
"""
