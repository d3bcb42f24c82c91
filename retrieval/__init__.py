"""Search images, music and video by meaning: embed, index, search, localize.

>>> import retrieval
>>> collection = retrieval.open("my-collection")           # doctest: +SKIP
>>> collection.search("a red circle", to=["video"], k=5)   # doctest: +SKIP
"""
