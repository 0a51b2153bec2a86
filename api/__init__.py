"""The query service: what the pipelines answer, over HTTP.

Belongs here: routes, who may ask, and what becomes of errors. Does not: how an answer is found,
which is each pipeline's ``answers.py``, nor anything that an asset does.
"""
