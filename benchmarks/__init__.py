"""Quality suites and speed suites behind `retrieval bench`."""
