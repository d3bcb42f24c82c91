"""`retrieval compact`."""

from cli.options import CollectionArgument


def compact(collection: CollectionArgument) -> None:
    """Merge small shards, drop removed rows and the leftovers of interrupted runs."""
    import retrieval

    print(retrieval.open(collection).compact().summary())
