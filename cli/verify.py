"""The `retrieval verify` command."""

from cli.several import CollectionsArgument
from cli.terminal import escaped


def verify(collections: CollectionsArgument) -> None:
    """Compare each file of each COLLECTION with its digest. The exit code is 2 if one differs."""
    from retrieval.collection import Collection
    from retrieval.errors import CollectionDamagedError

    damaged = []
    for collection in collections:
        problems = Collection(collection).verify()
        for problem in problems:
            print(escaped(problem))
        if problems:
            damaged.append(f"{collection} has {len(problems)} problems")
        else:
            print(escaped(f"{collection} is whole"))
    if damaged:
        raise CollectionDamagedError(f"{', '.join(damaged)}; restore the files or embed again")
