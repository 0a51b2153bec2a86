"""One adapter per object store, each over the store's official client."""
