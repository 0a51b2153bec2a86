"""The jobs, a module per pipeline, the executor that guards their runs, and maintenance."""
