"""Warm workers: processes that keep a loaded network for the jobs of one run.

A `separate` job hands its task to a worker over a Unix socket (`client`) and waits; the worker (`server`) calls the same
function that the job would have called (`task`), so that there is one way to compute. The job imports nothing of that.
"""
