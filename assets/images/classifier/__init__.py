"""What a product's image shows: features, a model of the catalogue's labels, predictions."""
