"""Quality and speed benchmarks behind `retrieval bench`.

`suites` describes the benchmarks as data, `datasets` reads the data sets, `runner` runs a suite,
and `results` writes what it measured.
"""
