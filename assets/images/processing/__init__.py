"""From one image's bytes to another's, by the million: what is done, safely, and by whom."""
