"""The session as Dagster sees it: the step that streams, what is shown of it, what is checked."""
