"""Google's message classes of Pub/Sub, bare.

Belongs here: which classes travel. Does not: what is done with them.

google-cloud-pubsub wraps every message in proto-plus classes, which cost about ten times as much
as the protobuf classes inside them; these are the insides.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import duration_pb2, empty_pb2
from google.pubsub_v1.types import pubsub


def _bare(wrapper: Any) -> Any:
    return type(wrapper.pb(wrapper()))


Duration = duration_pb2.Duration
Empty = empty_pb2.Empty

Topic = _bare(pubsub.Topic)
GetTopicRequest = _bare(pubsub.GetTopicRequest)
UpdateTopicRequest = _bare(pubsub.UpdateTopicRequest)
DeleteTopicRequest = _bare(pubsub.DeleteTopicRequest)
ListTopicsRequest = _bare(pubsub.ListTopicsRequest)
ListTopicsResponse = _bare(pubsub.ListTopicsResponse)
ListTopicSubscriptionsRequest = _bare(pubsub.ListTopicSubscriptionsRequest)
ListTopicSubscriptionsResponse = _bare(pubsub.ListTopicSubscriptionsResponse)
PublishRequest = _bare(pubsub.PublishRequest)
PublishResponse = _bare(pubsub.PublishResponse)
PubsubMessage = _bare(pubsub.PubsubMessage)

Subscription = _bare(pubsub.Subscription)
GetSubscriptionRequest = _bare(pubsub.GetSubscriptionRequest)
UpdateSubscriptionRequest = _bare(pubsub.UpdateSubscriptionRequest)
DeleteSubscriptionRequest = _bare(pubsub.DeleteSubscriptionRequest)
ListSubscriptionsRequest = _bare(pubsub.ListSubscriptionsRequest)
ListSubscriptionsResponse = _bare(pubsub.ListSubscriptionsResponse)
PullRequest = _bare(pubsub.PullRequest)
PullResponse = _bare(pubsub.PullResponse)
StreamingPullRequest = _bare(pubsub.StreamingPullRequest)
StreamingPullResponse = _bare(pubsub.StreamingPullResponse)
AcknowledgeRequest = _bare(pubsub.AcknowledgeRequest)
ModifyAckDeadlineRequest = _bare(pubsub.ModifyAckDeadlineRequest)
