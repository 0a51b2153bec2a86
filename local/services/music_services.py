"""A lyrics service and a MusicBrainz-compatible one: ``local/music_services.py``."""

from __future__ import annotations

from local.service import HOST, REPOSITORY, Command, Place, Service, answers_http

#: The caller's name that the stack's own variables use; tests take names of their own.
CALLER = "quintet"


def base_url(place: Place, caller: str = CALLER) -> str:
    """Where both services are for one caller."""
    return f"http://{HOST}:{place.ports['music_services']}/{caller}"


def _command(place: Place) -> Command:
    port = str(place.ports["music_services"])
    return Command(
        [str(place.python), "-P", "-m", "local.music_services", port],
        environment={"PYTHONPATH": str(REPOSITORY)},
        directory=place.root,
    )


def _ready(place: Place) -> bool:
    return answers_http(f"http://{HOST}:{place.ports['music_services']}/health", contains="ok")


def variables_for(place: Place, caller: str) -> dict[str, str]:
    """The variables of one caller."""
    url = base_url(place, caller)
    return {
        "MUSIC_LYRICS_URL": f"{url}/v1",
        "MUSIC_MUSICBRAINZ_URL": f"{url}/ws/2",
        "MUSIC_MUSICBRAINZ_USER_AGENT": "quintet-local/0.1 (quintet@localhost)",
        # Ours does not have to be spared: the real one allows one request a second.
        "MUSIC_MUSICBRAINZ_PER_SECOND": "50",
    }


def _variables(place: Place) -> dict[str, str]:
    return variables_for(place, CALLER)


SERVICE = Service(
    name="music_services",
    systems=("lyrics service", "MusicBrainz"),
    ports=("music_services",),
    command=_command,
    ready=_ready,
    variables=_variables,
)
