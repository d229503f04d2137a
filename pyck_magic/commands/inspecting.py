"""Images, containers and volumes in the shape of `docker inspect`: the fields we can fill, under the names scripts know.

Runs in: the notebook kernel, or the `pyck` command.
"""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyck_magic.model.records import Container, Image, NamedVolume

_NEVER = "0001-01-01T00:00:00Z"


def describe_image(image: "Image") -> dict[str, object]:
    """An image as `docker image inspect` shows it. `Config` is what the image's own config says, word for word."""
    config = image.config
    own: dict[str, Any] = json.loads(config.raw)
    return {
        "Id": str(image.id),
        "RepoTags": list(image.names),
        "RepoDigests": list(image.repo_digests),
        "Parent": "",
        "Comment": config.history[-1].comment if config.history else "",
        "Created": _moment(image.created),
        "Author": own.get("author", ""),
        "Config": own.get("config") or {},
        "Architecture": config.architecture,
        **({"Variant": config.variant} if config.variant else {}),
        "Os": config.os,
        "Size": image.size_bytes,
        "GraphDriver": {"Name": "overlay", "Data": None},
        "RootFS": {"Type": "layers", "Layers": [str(layer) for layer in image.layers]},
        "Descriptor": {"digest": str(image.manifest_digest)},
    }


def describe_container(container: "Container") -> dict[str, object]:
    """A container as `docker container inspect` shows it."""
    spec: dict[str, Any] = json.loads(container.spec)
    program, *arguments = container.command or ("",)
    running = container.status == "running"
    binds = spec.get("binds", [])
    return {
        "Id": container.id,
        "Created": _moment(container.created),
        "Path": program,
        "Args": arguments,
        "State": {
            "Status": container.status,
            "Running": running,
            "Paused": False,
            "Restarting": False,
            "Dead": False,
            "Pid": (container.pid or 0) if running else 0,
            "ExitCode": container.exit_code or 0,
            "Error": container.reason,
            "StartedAt": _moment(container.started),
            "FinishedAt": _moment(container.finished),
        },
        "Image": str(container.image_id),
        "Name": f"/{container.name}",
        "HostConfig": {
            "Binds": [f"{bind['source']}:{bind['target']}{':ro' if bind['read_only'] else ''}" for bind in binds],
            "NetworkMode": spec.get("mould", {}).get("network", ""),
            "AutoRemove": bool(spec.get("mould", {}).get("remove", False)),
        },
        "Mounts": [
            {
                "Type": "bind",
                "Source": bind["source"],
                "Destination": bind["target"],
                "Mode": "ro" if bind["read_only"] else "",
                "RW": not bind["read_only"],
            }
            for bind in binds
        ],
        "Config": {
            "Hostname": spec.get("hostname", ""),
            "User": f"{spec['uid']}:{spec['gid']}" if "uid" in spec else "",
            "Env": list(spec.get("env", ())),
            "Cmd": list(container.command),
            "Image": container.image,
            "WorkingDir": spec.get("workdir", ""),
        },
    }


def describe_volume(volume: "NamedVolume") -> dict[str, object]:
    """A volume as `docker volume inspect` shows it."""
    return {
        "CreatedAt": _moment(volume.created),
        "Driver": "local",
        "Labels": None,
        "Mountpoint": volume.path,
        "Name": volume.name,
        "Options": None,
        "Scope": "local",
    }


def _moment(when: datetime | None) -> str:
    """RFC 3339 in UTC, as Docker writes it; its zero time when there is none."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z") if when is not None else _NEVER
