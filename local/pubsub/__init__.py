"""A small Pub/Sub: what ``local/pubsub_server.py`` serves.

From the inside out: `backlog` (what waits and what is out, in memory), `journal` (the same on
disk), `broker` (topics and subscriptions over both), `endpoints` (Google's gRPC services), `admin`
(counts over HTTP).
"""
