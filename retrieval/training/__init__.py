"""Training of contrastive models, moment localizers and re-rankers."""
