"""The routes, a module for each pipeline and one for those who operate.

Belongs here: parameters, the pipeline's answer, its model. Does not: finding an answer.
"""
