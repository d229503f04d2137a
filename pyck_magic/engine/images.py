"""The images of a home: list, find, remove; and what a repository offers.

Runs in: the notebook kernel, or the `pyck` command; any thread.
"""

from typing import TYPE_CHECKING

from pyck_magic.model.errors import BadReference, Conflict, NotFound
from pyck_magic.model.records import Container, Image
from pyck_magic.model.reference import Reference
from pyck_magic.store import Home

if TYPE_CHECKING:
    from pyck_magic.registry import TagInfo


class Images:
    """What is here, and Docker's rules of removing it."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def list(self) -> tuple[Image, ...]:
        """Newest first, unnamed ones included."""
        return self._home.images.list()

    def get(self, name: str) -> Image:
        """By reference, name@digest, id or the start of one. Raises NotFound, Conflict (several begin so)."""
        return self._home.images.get(name)

    def tags(self, repository: str) -> "tuple[TagInfo, ...]":
        """What a repository offers, newest first. Raises RegistryError, BadReference."""
        from pyck_magic.registry import Registry

        with Registry() as registry:
            return registry.tags(Reference.parse(repository))

    def tag(self, name: str, target: str) -> None:
        """Give an image one more name; another image of that name loses it. Raises NotFound, BadReference."""
        reference = Reference.parse(target)
        if reference.digest is not None:
            raise BadReference("refusing to create a tag with a digest reference", hint="leave out the @sha256:…")
        self._home.images.tag(self.get(name).id, reference)

    def remove(self, name: str, *, force: bool = False) -> tuple[str, ...]:
        """Take a name away, and with the last one the image. Returns Docker's lines: `Untagged: …`, `Deleted: …`.

        Raises NotFound, and Conflict when a container uses the image or (by id) several repositories name it.
        `force` overrides that, except for an image in use by a running container: it only loses its name.
        """
        self._home.make_room()
        try:
            image = self._home.images.get(name)
        except NotFound as error:
            raise NotFound(str(error), hint="`pyck images` lists what there is") from None
        users = self._home.containers.using(image.id)
        reference = self._as_reference(name, image)
        if reference is None:
            _refuse_if_in_use(image, users, force)
            if not force and not _is_single(image):
                raise Conflict(
                    f"conflict: unable to delete {image.short_id} (must be forced) - image is referenced in multiple "
                    "repositories",
                    hint=f"remove its names one by one: {', '.join(image.names)}",
                )
            return self._untag(image.names + image.repo_digests) + self._delete(image)
        if users and not force and _is_single(image):
            raise Conflict(
                f'conflict: unable to remove repository reference "{name}" (must force) - container {users[0].short_id} is using '
                f"its referenced image {image.short_id}",
                hint=f"remove the container first: `pyck rm {users[0].name}`",
            )
        lines = self._untag((reference.familiar,))
        left = self._home.images.get(str(image.id))
        repository = f"{reference.familiar_repository}"
        if not any(_repository(name) == repository for name in left.names):
            # Digests alone keep no image: they were the last tag's.
            lines += self._untag(tuple(digest for digest in left.repo_digests if _repository(digest) == repository))
            left = self._home.images.get(str(image.id))
        if left.names or left.repo_digests or any(user.status == "running" for user in users):
            return lines
        return lines + self._delete(image)

    def _as_reference(self, name: str, image: Image) -> Reference | None:
        """The name that was meant, or None if it was an id."""
        try:
            reference = Reference.parse(name)
        except BadReference:
            return None
        return reference if self._home.images.find_reference(reference) == image.id.hex else None

    def _untag(self, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            self._home.images.untag(Reference.parse(name))
        return tuple(f"Untagged: {name}" for name in names)

    def _delete(self, image: Image) -> tuple[str, ...]:
        layers = self._home.images.forget(image.id)
        # Not while somebody pulls, who may be counting on these very layers; then the next removal collects them.
        if self._home.collect() and self._home.trash():
            from pyck_magic.engine.ranges import remove_what_only_the_range_may

            remove_what_only_the_range_may(self._home)
        return (f"Deleted: {image.id}", *(f"Deleted: {layer}" for layer in layers))


def _refuse_if_in_use(image: Image, users: tuple[Container, ...], force: bool) -> None:
    for user in users:
        if user.status == "running":
            raise Conflict(
                f"conflict: unable to delete {image.short_id} (cannot be forced) - image is being used by running container "
                f"{user.short_id}",
                hint=f"stop it and remove it: `pyck rm -f {user.name}`",
            )
        if not force:
            raise Conflict(
                f"conflict: unable to delete {image.short_id} (must be forced) - image is being used by stopped container "
                f"{user.short_id}",
                hint=f"remove the container first: `pyck rm {user.name}`",
            )


def _is_single(image: Image) -> bool:
    """At most one tag, and nothing in any other repository."""
    return len(image.names) <= 1 and len({_repository(name) for name in image.names + image.repo_digests}) <= 1


def _repository(name: str) -> str:
    return Reference.parse(name).familiar_repository


