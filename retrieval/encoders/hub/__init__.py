"""The model hub: which repositories a model needs, what the cache holds, and how it is filled."""
