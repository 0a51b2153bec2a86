"""The pages that people look at: the API's own routes, asked in this process and drawn as HTML.

Belongs here: what a page shows of answers, forms, being signed in. Does not: an answer, nor an
error's meaning: a page asks the routes of ``api/routes`` and shows what they say.

Nothing is built and nothing needs a script: templates are in ``templates``, all else that a browser
fetches in ``static``.
"""
