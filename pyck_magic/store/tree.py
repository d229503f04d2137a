"""A layer's entries become files below one directory, and nowhere else (`directories` sees to that).

Runs in: the unpacker.

Whiteouts become overlayfs' own: a 0:0 character device, and an attribute on directories that hide what is below them.
What an archive brings in these forms itself is refused: they are the store's to make.
"""

import os
import stat
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from pyck_magic.model.errors import BadArchive
from pyck_magic.store import tar
from pyck_magic.store.contents import set_opaque, set_xattrs, write, write_spread
from pyck_magic.store.directories import WHITEOUT, Directories, clean, is_whiteout, refused, show

_OPAQUE = b".wh..wh..opq"
_AUFS = b".wh..wh."
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Times of directories can only be set when nothing is added any more; until then they are noted down in here.
_NOTES_MAX = 64 << 20
_NOTE = struct.Struct("=qHH")
_TIME_MAX_NS = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a layer holds. `skipped` counts devices that this user may not make."""

    size_bytes: int
    entries: int
    skipped: int


class Tree:
    """Makes entries below `root_fd`. With `real_owners` they get the archive's owners and modes; without, everything is
    this user's, readable and writable by them, and devices are left out. Raises BadArchive, OSError.
    """

    def __init__(self, root_fd: int, *, real_owners: bool) -> None:
        self._root_fd = root_fd
        self._real_owners = real_owners
        self._directories = Directories(root_fd, lambda parent, name: self._make_directory(parent, name, 0o755))
        self._notes = bytearray()
        self._something_replaced = self._directory_lost = False
        self._size_bytes = self._entries = self._skipped = 0

    def add(self, entry: tar.Entry, body: Iterable[memoryview]) -> None:
        """Make one entry; what was there under its name goes, unless both are directories."""
        self._entries += 1
        if self._something_replaced:
            self._something_replaced = False
            self._directories.forget()
        path = clean(entry.name)
        if not path:
            # The layer's own directory: Docker leaves it as it is.
            if entry.kind != tar.DIRECTORY:
                raise refused("wants to replace the root directory")
            return
        parent, name = self._directories.place(path)
        if name.startswith(WHITEOUT):
            self._whiteout(path, parent, name)
            return
        match entry.kind:
            case tar.REGULAR:
                self._file(parent, name, entry, body)
            case tar.DIRECTORY:
                self._directory(path, parent, name, entry)
            case tar.SYMLINK:
                self._symlink(parent, name, entry)
            case tar.HARDLINK:
                self._hardlink(parent, name, entry)
            case tar.CHARACTER | tar.BLOCK_DEVICE | tar.FIFO:
                self._node(parent, name, entry)
            case _:
                raise refused(f"holds an entry of unknown type {entry.kind!r}")

    def finish(self) -> Tally:
        """Set the directories' times, now that nothing is added any more."""
        self._directories.forget()
        at = 0
        while at < len(self._notes):
            mtime_ns, mode, length = _NOTE.unpack_from(self._notes, at)
            path = bytes(self._notes[at + _NOTE.size : at + _NOTE.size + length])
            at += _NOTE.size + length
            try:
                parent, name = self._directories.place(path, make=False)
                if self._directory_lost and not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                    continue
                if mode & stat.S_ISGID:
                    os.chmod(name, mode, dir_fd=parent)
                os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=parent, follow_symlinks=False)
            except (FileNotFoundError, BadArchive):
                if not self._directory_lost:
                    raise
        return Tally(size_bytes=self._size_bytes, entries=self._entries, skipped=self._skipped)

    def close(self) -> None:
        self._directories.forget()

    def _file(self, parent: int, name: bytes, entry: tar.Entry, body: Iterable[memoryview]) -> None:
        mode = entry.mode if self._real_owners else (entry.mode | 0o600 | (entry.mode & 0o111 and 0o100))
        try:
            fd = os.open(name, _NEW_FILE, mode, dir_fd=parent)
        except FileExistsError:
            self._clear(parent, name)
            fd = os.open(name, _NEW_FILE, mode, dir_fd=parent)
        try:
            if entry.extents is None:
                for piece in body:
                    write(fd, piece)
            else:
                write_spread(fd, entry.extents, entry.size, body)
            if self._real_owners:
                # Also when it is root's: in a directory with setgid the new file has the directory's group.
                os.fchown(fd, entry.uid, entry.gid)
            if mode & 0o7000:
                os.fchmod(fd, mode)
            if entry.xattrs:
                set_xattrs(fd, entry.xattrs, capabilities=self._real_owners)
            time_ns = _time(entry)
            os.utime(fd, ns=(time_ns, time_ns))
        finally:
            os.close(fd)
        self._size_bytes += entry.stored_bytes

    def _directory(self, path: bytes, parent: int, name: bytes, entry: tar.Entry) -> None:
        mode = entry.mode if self._real_owners else entry.mode | 0o700
        self._make_directory(parent, name, mode & ~stat.S_ISGID)
        if self._real_owners:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        if entry.xattrs:
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                set_xattrs(fd, entry.xattrs, capabilities=self._real_owners)
            finally:
                os.close(fd)
        self._notes += _NOTE.pack(_time(entry), mode, len(path)) + path
        if len(self._notes) > _NOTES_MAX:
            raise refused("holds more directories than any system needs")

    def _make_directory(self, parent: int, name: bytes, mode: int) -> None:
        """A directory of this mode under this name, new or not; one that takes a whiteout's place is opaque."""
        try:
            os.mkdir(name, mode, dir_fd=parent)
        except FileExistsError:
            there = os.lstat(name, dir_fd=parent)
            if not stat.S_ISDIR(there.st_mode):
                os.unlink(name, dir_fd=parent)
                os.mkdir(name, mode, dir_fd=parent)
                self._something_replaced = True
                if is_whiteout(there):
                    self._make_opaque(parent, name)
            else:
                os.chmod(name, mode, dir_fd=parent)

    def _symlink(self, parent: int, name: bytes, entry: tar.Entry) -> None:
        if not entry.link:
            raise refused("holds a symbolic link to nothing")
        try:
            os.symlink(entry.link, name, dir_fd=parent)
        except FileExistsError:
            self._clear(parent, name)
            os.symlink(entry.link, name, dir_fd=parent)
        self._own(parent, name, entry)

    def _hardlink(self, parent: int, name: bytes, entry: tar.Entry) -> None:
        target = clean(entry.link)
        if not target:
            raise refused("holds a hard link to the root directory")
        try:
            other_parent, other_name = self._directories.place(target, make=False)
            there = os.lstat(other_name, dir_fd=other_parent)
            if stat.S_ISDIR(there.st_mode) or is_whiteout(there):
                raise refused(f"holds a hard link to {show(target)}, which is no file")
            try:
                os.link(other_name, name, src_dir_fd=other_parent, dst_dir_fd=parent, follow_symlinks=False)
            except FileExistsError:
                if os.path.samestat(there, os.lstat(name, dir_fd=parent)):
                    return
                self._clear(parent, name)
                os.link(other_name, name, src_dir_fd=other_parent, dst_dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            raise refused(f"holds a hard link to {show(target)}, which is not in it") from None

    def _node(self, parent: int, name: bytes, entry: tar.Entry) -> None:
        if entry.kind == tar.CHARACTER and not entry.major and not entry.minor:
            raise refused("smuggles an overlay whiteout (a 0:0 device)")
        if not (0 <= entry.major < 1 << 12 and 0 <= entry.minor < 1 << 20):
            raise refused(f"holds a device {entry.major}:{entry.minor}, which no system has")
        kind = {tar.CHARACTER: stat.S_IFCHR, tar.BLOCK_DEVICE: stat.S_IFBLK, tar.FIFO: stat.S_IFIFO}[entry.kind]
        if kind != stat.S_IFIFO and not self._real_owners:
            self._skipped += 1
            return
        device = os.makedev(entry.major, entry.minor) if kind != stat.S_IFIFO else 0
        mode = kind | (entry.mode if self._real_owners else entry.mode | 0o600)
        try:
            try:
                os.mknod(name, mode, device, dir_fd=parent)
            except FileExistsError:
                self._clear(parent, name)
                os.mknod(name, mode, device, dir_fd=parent)
        except PermissionError:
            self._skipped += 1
            return
        self._own(parent, name, entry)

    def _own(self, parent: int, name: bytes, entry: tar.Entry) -> None:
        """Owner and time of what cannot be opened; chown drops setuid, so the mode comes again."""
        if self._real_owners:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
            if entry.kind != tar.SYMLINK and entry.mode & 0o7000:
                os.chmod(name, entry.mode, dir_fd=parent)
        time_ns = _time(entry)
        os.utime(name, ns=(time_ns, time_ns), dir_fd=parent, follow_symlinks=False)

    def _whiteout(self, path: bytes, parent: int, name: bytes) -> None:
        """Hide what lower layers have. What this layer itself holds stays (image-spec, layer.md, "Whiteouts")."""
        if name == _OPAQUE:
            above = path[: -len(name)].rstrip(b"/")
            if above:
                grandparent, directory = self._directories.place(above)
                self._make_opaque(grandparent, directory)
            else:
                set_opaque(self._root_fd)
            return
        if name.startswith(_AUFS):
            return
        hidden = name.removeprefix(WHITEOUT)
        if hidden in (b"", b".", b".."):
            raise refused("holds a whiteout of nothing")
        try:
            os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=parent)
        except FileExistsError:
            if stat.S_ISDIR(os.lstat(hidden, dir_fd=parent).st_mode):
                self._make_opaque(parent, hidden)

    def _make_opaque(self, parent: int, name: bytes) -> None:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            set_opaque(fd)
        finally:
            os.close(fd)

    def _clear(self, parent: int, name: bytes) -> None:
        """Take away what is under a name that another entry wants."""
        self._something_replaced = True  # open directories may have been reached through it
        try:
            os.unlink(name, dir_fd=parent)
        except IsADirectoryError:
            self._directory_lost = True
            _remove_directory(parent, name)


def _time(entry: tar.Entry) -> int:
    """Times that no filesystem can hold are 1970's, as in Docker."""
    return entry.mtime_ns if 0 <= entry.mtime_ns <= _TIME_MAX_NS else 0


def _remove_directory(parent: int, name: bytes) -> None:
    """`rm -r` of what this layer itself has put there."""
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        for child in os.listdir(fd):
            try:
                os.unlink(child, dir_fd=fd)
            except IsADirectoryError:
                _remove_directory(fd, os.fsencode(child))
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=parent)
