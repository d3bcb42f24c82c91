"""What embedding and indexing will take, before anything is built."""
