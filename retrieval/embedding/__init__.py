"""One embedding run: plan, decode, assemble, encode, write."""
