"""What files don't say of songs, asked of services: lyrics by song, genres by artist."""
