"""A model hub on the loopback, and repositories in the layouts of the real one."""
