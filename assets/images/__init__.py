"""The images pipeline: a request file to transformed images of a catalogue."""
