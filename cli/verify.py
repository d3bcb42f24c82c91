"""The `retrieval verify` command."""

from cli.options import CollectionArgument
from cli.terminal import escaped


def verify(collection: CollectionArgument) -> None:
    """Compare each file of COLLECTION with its digest. The exit code is 2 if one differs."""
    import retrieval
    from retrieval.errors import CollectionDamagedError

    problems = retrieval.Collection(collection).verify()
    for problem in problems:
        print(escaped(problem))
    if problems:
        raise CollectionDamagedError(
            f"{collection} has {len(problems)} problems; restore the files or embed again"
        )
    print(f"{collection} is whole")
