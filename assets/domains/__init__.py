"""The domains pipeline: metrics of domains become summaries for search engines, month by month."""
