"""Quality suites, one small file each."""
