"""Keys of a served backend that leaves this machine: CURVE, one folder for both sides.

``make_keys`` writes ``server.key_secret``, ``client.key_secret`` and the public halves, ``server.key`` and ``clients/client.key``. The server needs its
secret and the folder ``clients``, and admits nobody else; a client needs its secret and ``server.key``. Secrets are for their owner's eyes only.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import tempfile
from pathlib import Path
from typing import Tuple
from urllib.parse import urlsplit

import zmq.auth

from dextrack.errors import InputError, RefusedError
from dextrack.link import Curve

CLIENTS = "clients"


def make_keys(folder: Path) -> None:
    """Write a new pair of keys for a server and one for its clients into ``folder``, which must not exist.

    Raises:
        RefusedError: it exists.
        InputError: it cannot be written.
    """
    if folder.exists():
        raise RefusedError("%s: it exists." % folder, remedy="give a new folder; keys are never overwritten.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".keys-", dir=str(folder.parent)))
        try:
            (made / CLIENTS).mkdir()
            for who in ("server", "client"):
                _, secret = zmq.auth.create_certificates(str(made), who)
                os.chmod(secret, 0o600)
            os.replace(str(made / "client.key"), str(made / CLIENTS / "client.key"))
            os.replace(str(made), str(folder))
        except BaseException:
            shutil.rmtree(str(made), ignore_errors=True)
            raise
    except OSError as error:
        raise InputError("%s: keys cannot be written there (%s)." % (folder, error.strerror), remedy="choose another folder.") from None


def server_keys(folder: Path) -> Tuple[bytes, bytes]:
    """(public, secret) of the server.

    Raises:
        InputError: ``folder`` does not hold them.
    """
    return _load(folder / "server.key_secret")


def client_keys(folder: Path) -> Curve:
    """What a client of the server of ``folder`` needs.

    Raises:
        InputError: ``folder`` does not hold it.
    """
    public, secret = _load(folder / "client.key_secret")
    return Curve(_load(folder / "server.key", secret=False)[0], public, secret)


def _load(path: Path, secret: bool = True) -> Tuple[bytes, bytes]:
    try:
        public, own = zmq.auth.load_certificate(str(path))
    except (OSError, ValueError) as error:
        raise InputError("%s: no key (%s)." % (path, error), remedy="make keys with `dextrack sim keys --out FOLDER`.") from None
    if secret and own is None:
        raise InputError("%s: it holds no secret key." % path, remedy="make keys with `dextrack sim keys --out FOLDER`.")
    return public, own or b""


def on_this_machine(endpoint: str) -> bool:
    """Whether only processes of this machine reach ``endpoint``.

    Raises:
        InputError: it is no endpoint that a server can bind.
    """
    parts = urlsplit(endpoint)
    if parts.scheme == "ipc":
        return True
    try:
        if parts.scheme != "tcp" or not parts.netloc.rpartition(":")[0]:
            raise ValueError
        host = parts.netloc.rpartition(":")[0].strip("[]")
        return host == "localhost" or (host != "*" and ipaddress.ip_address(host).is_loopback)
    except ValueError:
        remedy = "give tcp://127.0.0.1:PORT (port 0 takes a free one), or the address of one of this machine's networks."
        raise InputError("%r is no endpoint to listen at." % endpoint, remedy=remedy) from None
