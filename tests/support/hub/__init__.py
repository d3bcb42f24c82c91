"""A local model hub with repositories in the layouts of the real one."""
