"""The assets, a package per pipeline, and the frame that their batch steps share."""
