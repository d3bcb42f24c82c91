"""`retrieval verify`."""

from cli.options import CollectionArgument
from cli.terminal import escaped


def verify(collection: CollectionArgument) -> None:
    """Compare every file of COLLECTION with its digest; exit code 2 where one differs."""
    import retrieval
    from retrieval.errors import CollectionDamagedError

    problems = retrieval.Collection(collection).verify()
    for problem in problems:
        print(escaped(problem))
    if problems:
        raise CollectionDamagedError(
            f"{len(problems)} damaged in {collection}; restore them from a copy or embed anew"
        )
    print(f"{collection} is whole")
