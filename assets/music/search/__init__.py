"""Search over songs: by words and facets in Typesense, by meaning in Milvus, and their answers."""
