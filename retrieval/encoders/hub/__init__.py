"""The model hub: repositories of each model, the local cache, and downloads into it."""
