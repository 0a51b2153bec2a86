"""Asking OpenAI for thousands of summaries: none lost, none paid twice."""
