"""Large tasks on more than one machine: shards of items that Celery's workers take."""
