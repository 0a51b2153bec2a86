"""Which product has an image, and what kind of image it is."""
