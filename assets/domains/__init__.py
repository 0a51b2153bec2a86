"""Domains: e-commerce metrics of a month to SEO summaries, exact figures hidden."""
