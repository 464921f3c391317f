"""A stranger's project has a configuration of its own: `test_stranger.py` runs it."""

collect_ignore = ["stranger"]
