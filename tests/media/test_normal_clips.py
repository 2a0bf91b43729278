"""The folder of normal footage alone: links or copies, whole files, and no way out of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.media.clip import ClipLength, encode_clip
from service.media.normal_clips import PART, KeptClip, NormalClipFolder, measure_kept_clip
from tests.media.shots import shot


@pytest.fixture
def folder(tmp_path: Path) -> NormalClipFolder:
    """Nothing is there yet."""
    return NormalClipFolder(tmp_path / "normal")


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that nothing here can be linked to."""
    shared_memory = Path("/dev/shm")
    if not os.access(shared_memory, os.W_OK) or (
        shared_memory.stat().st_dev == tmp_path.stat().st_dev
    ):
        pytest.skip("there is no second disk on this machine")
    made = shared_memory / f"normwatch-test-{os.getpid()}"
    made.mkdir()
    yield made
    shutil.rmtree(made)


def _source(path: Path, data: bytes = b"clip", written_at: float = 1000.0) -> Path:
    path.write_bytes(data)
    os.utime(path, (written_at, written_at))
    return path


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_clip_is_linked_and_stays_when_the_event_s_own_goes(
    folder: NormalClipFolder, tmp_path: Path
) -> None:
    source = _source(tmp_path / "evt_1.clip.mp4")
    folder.put("cam", "evt_1", source)
    place = tmp_path / "normal" / "cam" / "evt_1.mp4"
    assert folder.clips("cam") == [KeptClip("cam", "evt_1", place, 4, 1000.0)]
    assert place.samefile(source)
    folder.put("cam", "evt_1", source)
    assert _names(place.parent) == ["evt_1.mp4"]
    source.unlink()
    assert place.read_bytes() == b"clip"


def test_from_another_disk_it_is_copied_with_its_time(
    folder: NormalClipFolder, other_disk: Path
) -> None:
    source = _source(other_disk / "evt_1.clip.mp4", written_at=2000.0)
    folder.put("cam", "evt_1", source)
    (kept,) = folder.clips("cam")
    assert not kept.path.samefile(source)
    assert (kept.path.read_bytes(), kept.written_at) == (b"clip", 2000.0)


def test_the_oldest_come_first_and_what_is_no_clip_is_left_out(
    folder: NormalClipFolder, tmp_path: Path
) -> None:
    for number, written_at in enumerate((30.0, 10.0, 20.0)):
        source = _source(tmp_path / f"{number}", written_at=written_at)
        folder.put("cam", f"evt_{number}", source)
    place = folder.stream_folder("cam")
    for name in ("notes.txt", "e vt.mp4", f"evt_9.mp4.0a{PART}"):
        (place / name).write_bytes(b"x")
    (place / "evt_8.mp4").mkdir()
    assert [clip.event_id for clip in folder.clips("cam")] == ["evt_1", "evt_2", "evt_0"]
    assert folder.stream_ids() == ["cam"]
    folder.remove_parts("cam", older_than=0.0)
    assert len(_names(place)) == 7
    folder.remove_parts("cam", older_than=4e9)
    assert len(_names(place)) == 6


@pytest.mark.parametrize("ident", ["", ".", "..", "../evt", "a/b", "a" * 33, "evt\0", "a.b"])
def test_no_id_leads_out_of_the_folder(
    folder: NormalClipFolder, tmp_path: Path, ident: str
) -> None:
    source = _source(tmp_path / "x")
    for stream_id, event_id in ((ident, "evt"), ("cam", ident)):
        with pytest.raises(ValueError, match="must be 1 to 32 letters"):
            folder.put(stream_id, event_id, source)
        with pytest.raises(ValueError, match="must be 1 to 32 letters"):
            folder.clip(stream_id, event_id)
    assert not folder.root.exists()


def test_no_link_leads_out_of_the_folder(folder: NormalClipFolder, tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere"
    secret.mkdir()
    _source(secret / "evt_1.mp4", b"secret")
    folder.make_folder("cam")
    (folder.stream_folder("cam") / "evt_1.mp4").symlink_to(secret / "evt_1.mp4")
    (folder.root / "linked").symlink_to(secret)
    assert folder.clip("cam", "evt_1") is None
    assert folder.clip("linked", "evt_1") is None
    assert folder.clips("cam") == folder.clips("linked") == []
    assert folder.stream_ids() == ["cam"]
    with pytest.raises(OSError, match="is a link"):
        folder.put("linked", "evt_2", _source(tmp_path / "x"))
    folder.remove_stream("linked")
    folder.put("cam", "evt_1", _source(tmp_path / "x"))
    assert (secret / "evt_1.mp4").read_bytes() == b"secret"
    assert _names(secret) == ["evt_1.mp4"]


def test_how_much_a_clip_shows_is_read_from_it(folder: NormalClipFolder, tmp_path: Path) -> None:
    written = tmp_path / "clip.mp4"
    shots = [shot(frame, at=1000.0 + frame / 5) for frame in range(20)]
    written.write_bytes(encode_clip(shots, 5.0, (5, 12)))
    folder.put("cam", "evt_1", written)
    folder.put("cam", "evt_2", _source(tmp_path / "x", b"no video"))
    clip, broken = folder.clip("cam", "evt_1"), folder.clip("cam", "evt_2")
    assert clip is not None and broken is not None
    length = measure_kept_clip(clip)
    assert isinstance(length, ClipLength)
    assert len(length.times_s) == 20
    assert length.seconds == pytest.approx(4.0, abs=0.25)
    assert length.fps == pytest.approx(5.0, abs=0.4)
    assert length.event_s == (1.0, 2.4)
    assert measure_kept_clip(broken) is None
    written.write_bytes(encode_clip(shots, 5.0, (90, 95)))
    folder.put("cam", "evt_3", written)
    silent = folder.clip("cam", "evt_3")
    assert silent is not None
    other = measure_kept_clip(silent)
    assert other is not None and other.event_s is None
