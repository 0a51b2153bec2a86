"""The model as an asset, its checks, and when it is made anew.

Belongs here: what Dagster shows of it. Does not: making it (``retraining.py``), what uses it
(``assets.py``).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame.buckets import minio_bucket
from assets.frame.declared import Steps
from assets.frame.execution import WRITER_TAG
from assets.frame.step import no_vain_retries
from assets.images.classifier.examples import DRIFT_LIMITS, HEADS
from assets.images.settings import ImagesSettings
from resources.minio import MinioResource
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    from assets.images.classifier.onnx_file import Card
    from assets.images.classifier.retraining import Made

#: One at a time: two would both write the pointer.
MODEL = Steps(pipeline="images", owners=("team:catalogue-data",), writer="images_classifier")
CLASSIFIER_KEY = MODEL.key("image_classifier")

BEATS_BASELINE = "beats_baseline"

#: With fewer products held out chance alone may put a good model below the baseline.
_JUDGED_FROM = 100

#: How often to look whether the catalogue or the inventory has changed.
LOOK_SECONDS = 30
CLASSIFIER_TAGS = {
    WRITER_TAG: "images_classifier",
    "dagster/max_runtime": "3600",
    "dagster/priority": "-1",
}

Events = Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]


class Training(dg.Config):
    """``force`` makes a model though nothing has changed."""

    force: bool = False


def retrain_when_changed() -> dg.AutomationCondition[dg.AssetKey]:
    """Once after the catalogue or the inventory was updated, when no run of theirs is going on.

    Updates that come while a model is being made ask for one more look at the set, which is cheap:
    the asset itself leaves things alone where too little has changed.
    """
    condition = dg.AutomationCondition
    requested = condition.newly_requested()
    # What landed before anybody looked.
    unseen = condition.initial_evaluation() & condition.missing()
    there = condition.any_deps_match(~condition.missing())
    wanted = condition.any_deps_updated().since(requested) | (unseen & there).since(requested)
    free: dg.AutomationCondition[Any] = ~condition.in_progress()
    return wanted & free & ~condition.any_deps_in_progress()


@dg.asset(
    **MODEL.step(
        "image_classifier",
        group="classifier",
        deps=["product_catalog", "image_inventory"],
        kinds={"sklearn", "onnx", "minio"},
        code_version="1",
        automation_condition=retrain_when_changed(),
        output_required=False,
        check_specs=[
            dg.AssetCheckSpec(
                BEATS_BASELINE,
                asset=CLASSIFIER_KEY,
                description="On products held out every head is right more often than naming the "
                "commonest label would be.",
            )
        ],
    )
)
def image_classifier(
    context: dg.AssetExecutionContext,
    config: Training,
    postgres: PostgresResource,
    minio: MinioResource,
    images: ImagesSettings,
) -> Events:
    """Names category, type and colour of a product by its image; learned from the catalogue.

    Not materialized where too little has changed since the last one, or there are too few images.
    """
    from assets.images.classifier.retraining import Made, retrain

    with (
        no_vain_retries(
            lambda error: f"no model can be made as things are: {error}. See `make doctor`."
        ),
        postgres.connect() as connection,
        minio_bucket(minio, images.products_bucket) as products,
        minio_bucket(minio, images.models_bucket) as models,
    ):
        made = retrain(connection, products, models, force=config.force, log=context.log)
    if not isinstance(made, Made):
        context.log.info("classifier_not_due model=%s: %s", made.version or "none", made.reason)
        context.log_event(
            dg.AssetObservation(CLASSIFIER_KEY, description=f"No new model: {made.reason}.")
        )
        yield dg.AssetCheckResult(
            check_name=BEATS_BASELINE,
            passed=True,
            description=f"No new model was made: {made.reason}.",
        )
        return
    yield _beats_baseline(made.card)
    yield dg.MaterializeResult(metadata=_metadata(made, images.models_bucket))


@dg.asset_check(
    asset=CLASSIFIER_KEY,
    name="labels_as_learned",
    description="The labels of products with an image spread as those that the model learned.",
)
def labels_as_learned(
    postgres: PostgresResource, minio: MinioResource, images: ImagesSettings
) -> dg.AssetCheckResult:
    """Compares total variation distances with their limits. Without a model there is no drift."""
    from assets.images.classifier import stored
    from assets.images.classifier.examples import distance, examples, label_counts

    with minio_bucket(minio, images.models_bucket) as models, postgres.connect() as connection:
        try:
            card = stored.trained(models).card
        except stored.NoModelError as error:
            return dg.AssetCheckResult(passed=True, description=str(error))
        now = label_counts(examples(connection))
    learned = card.label_counts or {}
    moved = {head: distance(learned.get(head, {}), now[head]) for head in HEADS}
    over = [head for head, far in moved.items() if far > DRIFT_LIMITS[head]]
    return dg.AssetCheckResult(
        passed=not over,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{', '.join(over)}: the catalogue has moved away from what the model learned. "
        "Retrain: launch `image_classifier` with force."
        if over
        else None,
        metadata={
            "model_version": card.version,
            **{f"{head}_distance": round(far, 4) for head, far in moved.items()},
            **{f"{head}_limit": DRIFT_LIMITS[head] for head in HEADS},
        },
    )


image_classifier_job = dg.define_asset_job(
    name="image_classifier",
    description="Makes the model of images anew, where enough has changed; by force with config.",
    selection=dg.AssetSelection.assets(CLASSIFIER_KEY),
    tags=CLASSIFIER_TAGS,
)

image_classifier_automation = dg.AutomationConditionSensorDefinition(
    name="image_classifier_automation",
    description="Looks for a new model when the catalogue or the inventory has changed.",
    target=dg.AssetSelection.assets(CLASSIFIER_KEY),
    minimum_interval_seconds=LOOK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    run_tags=CLASSIFIER_TAGS,
)


def _beats_baseline(card: "Card") -> dg.AssetCheckResult:
    accuracy, baseline = card.accuracy or {}, card.baseline or {}
    worse = [head for head in HEADS if accuracy[head] <= baseline[head]]
    few = card.holdout_images < _JUDGED_FROM
    return dg.AssetCheckResult(
        check_name=BEATS_BASELINE,
        passed=not worse,
        severity=dg.AssetCheckSeverity.WARN if few else dg.AssetCheckSeverity.ERROR,
        description=f"{', '.join(worse)}: no better than always naming the commonest label"
        + (f"; only {card.holdout_images} products were held out." if few else ".")
        if worse
        else None,
        metadata={"holdout_images": card.holdout_images, **_figures(card)},
    )


def _figures(card: "Card") -> dict[str, Any]:
    named = (
        ("accuracy", card.accuracy),
        ("accuracy_on_crops", card.accuracy_on_crops),
        ("baseline", card.baseline),
    )
    return {f"{head}_{name}": figures[head] for head in HEADS for name, figures in named if figures}


def _metadata(made: "Made", bucket: str) -> dict[str, Any]:
    from assets.images.classifier import charts

    card = made.card
    shown: dict[str, Any] = {
        "dagster/uri": f"s3://{bucket}/{made.pointer.key}",
        "model_version": card.version,
        "feature_version": card.feature_version,
        "model_bytes": made.model_bytes,
        "training_images": card.training_images,
        "holdout_images": card.holdout_images,
        "unreadable_images": made.unreadable,
        "seconds": round(made.seconds, 3),
        **{f"{head}_labels": len(card.labels[head]) for head in HEADS},
        **_figures(card),
    }
    pictures = {
        "labels": charts.labels_picture(card.label_counts or {}, "Labels of the products learned"),
        **{
            f"{head}_confusion": charts.confusion_picture(
                found["names"], found["counts"], f"{head.replace('_', ' ')} of products held out"
            )
            for head, found in (card.confusion or {}).items()
        },
    }
    return shown | {name: dg.MetadataValue.md(text) for name, text in pictures.items() if text}
