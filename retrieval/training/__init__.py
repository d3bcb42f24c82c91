"""Train: contrastive models, on any pairs or on the demo world."""
