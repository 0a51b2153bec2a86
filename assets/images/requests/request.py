"""A request for images: what may be asked for, in the words of its JSON, and what a task is called.

Belongs here: from bytes to a request, or to all that is wrong with it. Does not: whether the
catalogue knows a value (``known_values.py``), what becomes of a request.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, ClassVar

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    model_validator,
)

from assets.images.processing.operation import Exif, Fit, Flip, Format, Kind, Operation

#: Bytes of a request file; of ids alone, that is more than a hundred thousand.
MOST_BYTES = 1024 * 1024
#: Pixels of a side that an image may be given.
MOST_SIDE = 4096
MOST_ITEMS = 10_000_000
#: Told of what is wrong with a request: so many problems, each in so many characters.
MOST_PROBLEMS, PROBLEM_CHARACTERS = 100, 500
_ID_DIGITS = 16

#: What a task may be called: a part of keys, and a partition, of which Dagster keeps ``...``.
TASK_PATTERN = r"[A-Za-z0-9](?:\.?[A-Za-z0-9_-])*"
MOST_CHARACTERS = 100

Text = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=1_000)]
Year = Annotated[int, Field(ge=1, le=9999, strict=True)]
ProductId = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Side = Annotated[int, Field(ge=1, le=MOST_SIDE, strict=True)]


class RefusedRequestError(Exception):
    """A request that can't be done as it is; ``problems`` are all of them, for its author.

    Of more than MOST_PROBLEMS the first, and how many there are more: a file of 1 MiB may have a
    quarter of a million.
    """

    def __init__(self, code: str, problems: Iterable[str], more: int = 0) -> None:
        told = [_shortened(one) for one in islice(problems, MOST_PROBLEMS)]
        if more:
            told.append(f"and {more:,} more")
        super().__init__("; ".join(told))
        self.code = code
        self.problems = tuple(told)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def _names(snake: str, camel: str) -> Any:
    """A field's own name, and the one that it has in the catalogue's file."""
    return Field(default=None, validation_alias=AliasChoices(snake, camel))


class Parameters(_Strict):
    """Of a transformation. ``crop`` is a share of width and height, ``size`` one side or both.

    ``rotate`` is in degrees at most either way, ``colour_jitter`` a relative change at most,
    ``blur`` a radius in pixels.
    """

    crop: float = Field(default=0.8, gt=0, le=1, strict=True)
    size: Side | tuple[Side, Side] = 256
    fit: Fit = "stretch"
    seed: int = Field(default=0, ge=-(2**63), lt=2**63, strict=True)
    format: Format = "JPEG"
    quality: int = Field(default=90, ge=1, le=100, strict=True)
    exif: Exif = "drop"
    flip: Flip = "none"
    rotate: float = Field(default=0, ge=0, le=180, strict=True)
    colour_jitter: float = Field(default=0, ge=0, le=1, strict=True)
    blur: float = Field(default=0, ge=0, le=100, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _any_case(cls, values: Any) -> Any:
        """Formats are written in either case, and JPEG as JPG, too."""
        if isinstance(values, dict) and isinstance(values.get("format"), str):
            name = values["format"].upper()
            return {**values, "format": "JPEG" if name == "JPG" else name}
        return values


class ImageRequest(_Strict):
    """Which products' images, and what is done to them.

    A filter is a value or a list of them, of which one must hold; filters without a value hold for
    every product. ``start_year`` and ``end_year`` are inclusive. ``limit`` takes the products with
    the smallest ids. ``task`` is the client's own name for it.
    """

    FILTERS: ClassVar[tuple[str, ...]] = (
        "gender", "master_category", "sub_category", "article_type", "base_colour", "season",
        "usage",
    )  # fmt: skip

    task: (
        Annotated[str, StringConstraints(pattern=rf"^{TASK_PATTERN}$", max_length=MOST_CHARACTERS)]
        | None
    ) = None
    gender: Text | Texts | None = None
    master_category: Text | Texts | None = _names("master_category", "masterCategory")
    sub_category: Text | Texts | None = _names("sub_category", "subCategory")
    article_type: Text | Texts | None = _names("article_type", "articleType")
    base_colour: Text | Texts | None = _names("base_colour", "baseColour")
    season: Text | Texts | None = None
    usage: Text | Texts | None = None
    year: Year | Annotated[list[Year], Field(min_length=1, max_length=1_000)] | None = None
    start_year: Year | None = None
    end_year: Year | None = None
    ids: Annotated[list[ProductId], Field(min_length=1)] | None = None
    limit: Annotated[int, Field(ge=1, le=MOST_ITEMS, strict=True)] | None = None
    operation: Kind = "transform"
    parameters: Parameters = Parameters()
    predict: StrictBool = False
    webdataset: StrictBool = False

    @model_validator(mode="after")
    def _fits_together(self) -> ImageRequest:
        if self.operation == "copy" and self.parameters != Parameters():
            raise ValueError("a copy has no parameters: leave them out, or ask for a transform")
        if self.year is not None and (self.start_year or self.end_year):
            raise ValueError("either year, or start_year and end_year")
        if self.start_year and self.end_year and self.start_year > self.end_year:
            raise ValueError(f"start_year {self.start_year} is after end_year {self.end_year}")
        return self

    def wanted(self, field: str) -> list[Any] | None:
        """The values of a filter of which one must hold; None where every product will do."""
        value = getattr(self, field)
        return value if value is None or isinstance(value, list) else [value]

    def canonical(self) -> str:
        """What is asked for, as JSON that is the same however it was written, without its name."""
        told = self.model_dump(mode="json", exclude={"task"}, exclude_defaults=True)
        for name in (*self.FILTERS, "year", "ids"):
            if (wanted := self.wanted(name)) is not None:
                told[name] = sorted(set(wanted))
        return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @property
    def task_id(self) -> str:
        """The client's name for it, else one that the same request always has."""
        return self.task or digest(self.canonical().encode())

    def work(self) -> Operation:
        """What is done to each image."""
        if self.operation == "copy":
            return Operation(kind="copy")
        told, size = self.parameters, self.parameters.size
        width, height = (size, size) if isinstance(size, int) else size
        return Operation(
            kind="transform",
            crop=told.crop,
            width=width,
            height=height,
            fit=told.fit,
            seed=told.seed,
            format=told.format,
            quality=told.quality,
            exif=told.exif,
            flip=told.flip,
            rotate=told.rotate,
            jitter=told.colour_jitter,
            blur=told.blur,
        )


def parse(data: bytes) -> ImageRequest:
    """The request in a file's bytes. Raises RefusedRequestError with all that is wrong with it."""
    values = _values(data)
    try:
        return ImageRequest.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False)
        unknown = all(one["type"] == "extra_forbidden" for one in found)
        # Naming the nearest words costs a tenth of a millisecond: only of what is told.
        problems = dict.fromkeys(_problem(one) for one in found[:MOST_PROBLEMS])
        raise RefusedRequestError(
            "unknown_field" if unknown else "invalid_request",
            problems,
            more=len(found[MOST_PROBLEMS:]),
        ) from error


def task_of(data: bytes) -> str:
    """What the request's task is called; of a refused one the name that it gives, if it is one."""
    try:
        return parse(data).task_id
    except RefusedRequestError:
        return _given_name(data) or digest(data)


def is_task_name(text: str) -> bool:
    """Whether a task may be called so."""
    return len(text) <= MOST_CHARACTERS and re.fullmatch(TASK_PATTERN, text) is not None


def json_schema() -> dict[str, Any]:
    """What a request file holds, as a JSON Schema without references."""
    schema = ImageRequest.model_json_schema()
    models = schema.pop("$defs")
    schema["properties"]["parameters"] = models["Parameters"]
    return schema


def digest(data: bytes) -> str:
    """A name for what these bytes say."""
    return hashlib.sha256(data).hexdigest()[:_ID_DIGITS]


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """The known words that are most like it, at most three, the likeliest first."""
    by_folded = {one.casefold(): one for one in known}
    found = difflib.get_close_matches(word.casefold(), by_folded, n=3, cutoff=0.5)
    return [by_folded[one] for one in found]


def _given_name(data: bytes) -> str | None:
    try:
        name = _values(data).get("task")
        return ImageRequest.model_validate({"task": name}).task
    except (RefusedRequestError, ValidationError):
        return None


def _values(data: bytes) -> Mapping[str, Any]:
    if len(data) > MOST_BYTES:
        raise RefusedRequestError("not_json", [f"{len(data)} bytes, a request has {MOST_BYTES}"])
    try:
        text = data.decode(json.detect_encoding(data))
        values = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise RefusedRequestError("not_json", [f"not JSON: {error}"]) from error
    if not isinstance(values, dict):
        raise RefusedRequestError("not_json", ["not a JSON object: {…}"])
    return values


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        times = Counter(name for name, _ in pairs)
        twice = sorted(name for name, count in times.items() if count > 1)[:MOST_PROBLEMS]
        raise ValueError(f"given twice: {', '.join(twice)}")
    return values


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _problem(error: Any) -> str:
    # Of a field that may be of several kinds pydantic names the kind, too.
    *rest, last = error["loc"] or ("",)
    named = error["type"] == "extra_forbidden"  # by whoever asks, as they like
    path = [
        str(part)
        for part in (*rest, last)
        if str(part).isidentifier() or part.__class__ is int or (named and part is last)
    ]
    where = ".".join(path)
    if error["type"] == "string_pattern_mismatch":
        return f"{where}: letters, digits, dashes, underscores and single dots only"
    if error["type"] == "extra_forbidden":
        known = _known_fields(Parameters if len(path) > 1 else ImageRequest)
        like = nearest(path[-1], known)
        hint = f"did you mean {' or '.join(like)}?" if like else f"known are {', '.join(known)}"
        return f"unknown field {where}: {hint}"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _shortened(problem: str) -> str:
    if len(problem) <= PROBLEM_CHARACTERS:
        return problem
    return problem[: PROBLEM_CHARACTERS - 1] + "…"


def _known_fields(model: type[BaseModel]) -> list[str]:
    return list(model.model_fields)
