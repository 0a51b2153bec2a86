"""Side by side with bare clients and peers; run by hand, never as tests."""
